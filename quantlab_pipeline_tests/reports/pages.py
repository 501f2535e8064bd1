"""What tests of pages share: the elements of a page, and what every page must be."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Elements(HTMLParser):
    """Every element with its attributes, the text of each table row, and what is left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[str]] = []
        self.titles: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, {name: value or "" for name, value in attrs}))
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "title":
            self.titles.append("")

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        if "title" in self.open:
            self.titles[-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for seen, attrs in self.seen if seen == tag]

    @property
    def cells(self) -> list[dict[str, str]]:
        """Links that speak under the pointer: the days of a calendar."""
        return [a for a in self.all("a") if "title" in a]

    @property
    def ids(self) -> list[str]:
        return [attrs["id"] for _, attrs in self.seen if "id" in attrs]


def opens_alone(text: str) -> Elements:
    """The page's elements, after it was seen to be whole, self-contained and themed."""
    assert not re.search(r"<script|https?://|src=|@import|url\(|<link", text)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert not re.search(r"\b(nan|inf|None|Undefined)\b", text)
    elements = Elements(text)
    assert not elements.open
    assert len(elements.ids) == len(set(elements.ids))
    links = [a["href"] for a in elements.all("a") if a["href"].startswith("#")]
    assert {link.removeprefix("#") for link in links} <= set(elements.ids)
    return elements
