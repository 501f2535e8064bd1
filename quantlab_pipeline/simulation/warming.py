"""Kernels made ready before the first job: compiled once a machine, loaded once a process.

Belongs here: the smallest call of each kernel that a tier uses, with the types that it is used
with. Not here: what the results mean; they are thrown away.
"""

from __future__ import annotations

import functools

import numpy as np


@functools.cache
def warm() -> None:
    """Call every kernel of T0, T1, BRIDGE and the quote sweep once."""
    _bars()
    _orders()
    _quotes()


def _bars() -> None:
    from quantlab_pipeline.kernels import bar_backtest as kernel

    price = np.ones(2)
    tape = kernel.BarTape(price, price, price, price, np.zeros(2, dtype=np.int64))
    costs = kernel.BarCosts(0.0, price, price, 0.0)
    targets = np.ones((1, 2), dtype=np.int8)
    kernel.sweep(tape, targets, costs)
    kernel.trace(tape, targets[0], costs)


def _orders() -> None:
    from quantlab_pipeline.kernels import execution as kernel

    one, at_us, side = np.ones(1), np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int8)
    orders = kernel.Orders(at_us, side, one, one, one, at_us, one)
    book = kernel.Book(at_us, one, one, 2.0 * one, one, at_us)
    kernel.fill_on_quotes(book, orders, kernel.Limits(1, 1.0, 1.0, 1.0))
    # A tape's bars are views of a table, which nobody may write to: another type to the compiler.
    open_us, opens = at_us.copy(), one.copy()
    open_us.setflags(write=False)
    opens.setflags(write=False)
    kernel.fill_on_bars(kernel.Bars(open_us, opens, one > 0.0), orders, 1.0)


def _quotes() -> None:
    from quantlab_pipeline.kernels import quote_backtest as kernel
    from quantlab_pipeline.kernels.execution import Book, Limits

    one, at_us = np.ones(1), np.zeros(1, dtype=np.int64)
    book = Book(at_us, one, one, 2.0 * one, one, at_us)
    calendar = kernel.Calendar(at_us, one, one, at_us)
    terms, limits = kernel.Terms(0, 0, 1.0, 1.0, one, 1.0), Limits(1, 1.0, 1.0, 1.0)
    kernel.run_quotes(book, calendar, at_us, np.ones((1, 1), dtype=np.int8), terms, limits)
