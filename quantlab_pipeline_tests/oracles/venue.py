"""Slow twin of `kernels.venue`: one heap of events, orders as objects, money as fractions.

Written from the rules as stated there, not from the kernel: no tables, no lists of links, no
running equity. Python's `round` on a Fraction is half to even.

Which method is the twin of which kernel: `run` of `advance`; `arrive` and `refusal` of their
namesakes (`affordable`, `margin_covers`); `end` of `end_order`, `cancel_others` and `tidy`;
`expire` of `expire`; the heap of `next_child`; `liquidate` of `doom`; `match` of `match_touch` and
`match_range`; `meet` of `reaches`, `take_touch` and `take`; `fill` of `fill`; `share` of `portion`;
`fund` of `times_fixed`; `worth` of `revalue`; and the comparison itself of `conserved`.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from fractions import Fraction

EXPIRY, FUNDING, CLOSE, OPEN, QUOTE, MARK, ORDER, CHILD = range(8)
NEVER = 1 << 62


@dataclass
class Order:
    row: int
    arrives: int
    kind: str
    lots: int
    price: int = 0
    expires: int = NEVER
    parent: int | None = None
    group: int | None = None
    reduces: bool = False
    status: str = "waiting"
    reason: str = ""
    done: int = 0
    since: int = 0
    triggered: bool = False

    @property
    def buys(self):
        return self.lots > 0

    @property
    def left(self):
        return abs(self.lots) - self.done


@dataclass
class World:
    """Quotes (at, bid, bid lots, ask, ask lots, age), bars (opens, closes, o, h, l, c, away), marks
    (at, units a lot), settlements (at, what a lot pays in units, a Fraction), orders, account.
    """

    account: object
    orders: list
    quotes: list = field(default_factory=list)
    bars: list = field(default_factory=list)
    marks: list = field(default_factory=list)
    settlements: list = field(default_factory=list)
    watch: str = ""


class Venue:
    def __init__(self, world):
        self.world, self.terms, self.orders = world, world.account, world.orders
        self.cash, self.lots, self.worth, self.mark = world.account.cash, 0, 0, None
        self.fills, self.payments, self.path = [], [], []
        self.touch, self.quote, self.opened, self.dead = None, None, None, False
        self.events = []
        for n, s in enumerate(world.settlements):
            self.at(s[0], FUNDING, n)
        for n, b in enumerate(world.bars):
            self.at(b[0], OPEN, n)
            self.at(b[1], CLOSE, n)
        for n, q in enumerate(world.quotes):
            self.at(q[0], QUOTE, n)
        for n, m in enumerate(world.marks):
            self.at(m[0], MARK, n)
        for o in world.orders:
            if o.parent is None:
                self.at(o.arrives, ORDER, o.row)

    def at(self, when, rank, n):
        heapq.heappush(self.events, (when, rank, n))

    def run(self):
        data = [self.fund, self.close, self.open, self.see, self.remark]
        acts = [self.expire, *data, self.arrive, self.arrive]
        while self.events:
            self.now, rank, n = heapq.heappop(self.events)
            acts[rank](n)
        self.orphans()
        return self

    # --- data ---

    def fund(self, n):
        if self.lots:
            units = round(-self.lots * self.world.settlements[n][1])
            self.cash += units
            self.payments.append((n, self.lots, units))

    def open(self, n):
        _, _, price, _, _, _, away = self.world.bars[n]
        if price > 0:
            endless = {"bid": NEVER, "ask": NEVER}
            self.touch = ({"bid": max(1, price - away), "ask": price + away}, endless, {**endless})
            self.opened = self.now
            self.match(self.meet)

    def close(self, n):
        opens, _, _, high, low, close, away = self.world.bars[n]
        if 0 < low <= high:
            self.match(lambda o: self.inside(o, opens, low, high, away))
        if close > 0:
            self.worth = close * self.terms.unit
        if self.world.watch == "closes":
            self.path.append(self.cash + self.lots * self.worth)

    def see(self, n):
        _, bid, bid_lots, ask, ask_lots, _ = self.quote = self.world.quotes[n]
        shown = {"bid": bid_lots, "ask": ask_lots}
        self.touch = ({"bid": bid, "ask": ask}, shown, {**shown})
        if self.stands():
            self.match(self.meet)

    def stands(self):
        if not self.world.quotes:
            return self.opened == self.now
        if self.quote is None:
            return False
        at, bid, bid_lots, ask, ask_lots, age = self.quote
        good = bid > 0 and ask > bid and bid_lots > 0 and ask_lots > 0
        return good and age + self.now - at <= self.terms.max_age_us

    def remark(self, n):
        units = self.world.marks[n][1]
        if units > 0:
            self.mark = self.worth = units
            needed = self.share(abs(self.lots) * units, self.terms.maintenance_e8)
            short = self.cash + self.lots * units < needed
            if self.terms.margin and self.lots and not self.dead and short:
                self.liquidate()
        if self.world.watch == "marks":
            self.path.append(self.cash + self.lots * self.worth)

    def liquidate(self):
        self.dead = True
        for o in self.live():
            self.end(o, "cancelled", "liquidated")
        own = Order(len(self.orders), self.now, "liquidation", -self.lots, status="live")
        self.own = own
        if self.stands():
            self.match(self.meet)

    # --- orders ---

    def live(self):
        """Live orders by arrival; those that arrive at one instant: new ones first, then by row."""
        mine = [o for o in self.orders if o.status == "live"]
        mine.sort(key=lambda o: (o.since, o.parent is not None, o.row))
        own = getattr(self, "own", None)
        return mine + ([own] if own is not None and own.status == "live" else [])

    def arrive(self, row):
        o = self.orders[row]
        if o.status != "waiting":
            return
        o.since = self.now
        why = self.refusal(o)
        if self.dead:
            self.end(o, "rejected", "liquidated")
        elif o.expires < self.now:
            self.end(o, "expired")
        elif why:
            self.end(o, "rejected", why)
        else:
            o.status = "live"
            if o.expires < NEVER:
                self.at(o.expires + 1, EXPIRY, row)
            if self.stands():
                self.meet(o)

    def refusal(self, o):
        if o.reduces:
            return "" if o.lots * self.lots < 0 else "nothing_to_reduce"
        side = [k for k in self.live() if k.buys == o.buys and not k.reduces]
        worst = self.lots + o.lots + sum(k.left if k.buys else -k.left for k in side)
        if abs(worst) > self.terms.most_lots:
            return "too_large"
        if not self.terms.margin:
            if not o.buys:
                return "" if -o.lots <= self.lots else "no_position"
            return "" if o.kind == "market" or self.pays(o.lots, o.price) else "no_cash"
        if abs(worst) <= abs(self.lots):
            return ""
        if self.mark is None:
            return "no_mark"
        needed = self.share(abs(worst) * self.mark, self.terms.initial_e8)
        return "" if needed <= self.cash + self.lots * self.mark else "no_margin"

    def expire(self, row):
        if self.orders[row].status == "live":
            self.end(self.orders[row], "expired")

    def end(self, o, status, reason=""):
        o.status, o.reason = status, reason
        for c in self.orders:
            if o.done and c.parent == o.row and c.status == "waiting":
                if status != "filled":
                    c.lots = (1 if c.buys else -1) * min(abs(c.lots), o.done)
                self.at(max(c.arrives, self.now + self.terms.latency_us), CHILD, c.row)

    def orphans(self):
        for o in self.orders:
            if o.status == "waiting" and o.parent is not None:
                parent = self.orders[o.parent]
                if parent.status not in ("waiting", "live") and not parent.done:
                    o.status, o.reason = "cancelled", "parent_ended"

    # --- matching ---

    def match(self, meet):
        for makers in (False, True):
            for o in self.live():
                if o.status == "live" and (o.kind == "limit") == makers:
                    meet(o)

    def meet(self, o):
        """One order against the touch."""
        side = "ask" if o.buys else "bid"
        prices, shown, left = self.touch
        price, maker = prices[side], False
        if o.kind == "stop":
            o.triggered |= price >= o.price if o.buys else price <= o.price
            if not o.triggered:
                return
        if o.kind == "limit":
            if (price > o.price) if o.buys else (price < o.price):
                return
            if self.world.quotes and o.since < self.now:
                price, maker = o.price, True
        lots = self.wanted(o)
        now = min(lots, max(left[side], 0))
        if now and not self.fill(o, now, price, maker):
            return
        left[side] -= now
        beyond = lots - now
        if beyond and o.kind != "limit" and self.terms.walk_ticks >= 0:
            levels = -((left[side] - beyond) // shown[side])
            step = self.terms.walk_ticks * levels
            further = min(2 * price, price + step) if o.buys else max(1, price - step)
            if self.fill(o, beyond, further, maker):
                left[side] -= beyond

    def inside(self, o, opens, low, high, away):
        """One order inside a bar, between its open and its close."""
        if o.since > opens or o.triggered:
            return
        if o.kind == "limit" and (low <= o.price if o.buys else high >= o.price):
            price = min(o.price, high + away) if o.buys else max(o.price, low - away)
        elif o.kind == "stop" and (high >= o.price if o.buys else low <= o.price):
            price = max(o.price, low) + away if o.buys else max(1, min(o.price, high) - away)
            o.triggered = True
        else:
            return
        lots = self.wanted(o)
        if lots:
            self.fill(o, lots, price, o.kind == "limit")

    def wanted(self, o):
        if not o.reduces:
            return o.left
        room = max(0, -self.lots if o.buys else self.lots)
        if not room:
            self.end(o, "cancelled", "nothing_to_reduce")
        return min(o.left, room)

    def fill(self, o, lots, price, maker):
        signed = lots if o.buys else -lots
        if not self.terms.margin:
            if o.buys and not self.pays(lots, price):
                self.end(o, "cancelled", "no_cash")
                return False
            if not o.buys and lots > self.lots:
                self.end(o, "cancelled", "no_position")
                return False
        value = signed * price * self.terms.unit
        rate = self.terms.maker_e8 if maker else self.terms.taker_e8
        if o.kind == "liquidation":
            rate += self.terms.liquidation_e8
        fee = self.share(abs(value), rate)
        self.cash -= value + fee
        self.lots += signed
        self.worth = price * self.terms.unit
        self.fills.append((o.row, self.now, signed, price, fee, int(maker)))
        o.done += lots
        for k in self.orders:
            alive = k.status in ("waiting", "live")
            if alive and k is not o and k.group is not None and k.group == o.group:
                self.end(k, "cancelled", "other_filled")
        if not o.left:
            self.end(o, "filled")
        return True

    def pays(self, lots, price):
        value = lots * price * self.terms.unit
        return value + self.share(value, self.terms.taker_e8) <= self.cash

    @staticmethod
    def share(value, rate_e8):
        return round(Fraction(value * rate_e8, 10**8))
