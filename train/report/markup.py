"""HTML and SVG as trees, so that whatever stands in a text or an attribute is escaped."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from xml.etree.ElementTree import Element

Child = str | Element | None | Iterable


def element(tag: str, *children: Child, **attributes) -> Element:
    """An element.

    Args:
      tag: its name.
      *children: texts, elements, iterables of them, or None, which is left out.
      **attributes: `class_` stands for `class`, `aria_label` for `aria-label`; numbers are
        rounded to 6 digits; None leaves an attribute out.
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            text = f"{value:.6g}" if isinstance(value, float) else str(value)
            made.set(name.rstrip("_").replace("_", "-"), _writable(text))
    _add(made, children)
    return made


def _add(parent, children):
    for child in children:
        if child is None:
            continue
        if isinstance(child, Element):
            parent.append(child)
        elif isinstance(child, str):
            if len(parent):
                parent[-1].tail = (parent[-1].tail or "") + _writable(child)
            else:
                parent.text = (parent.text or "") + _writable(child)
        else:
            _add(parent, child)


def _writable(text):
    """The text without what UTF-8 has no bytes for: names of files may hold any."""
    return text.encode("utf-8", "replace").decode()


def document(root: Element) -> str:
    """The HTML of a whole document."""
    text = ElementTree.tostring(root, encoding="unicode", method="html")
    return f"<!DOCTYPE html>\n{text}\n"
