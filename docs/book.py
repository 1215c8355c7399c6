"""A preprocessor of mdBook: lets links to files outside of the book lead to the repository."""

import json
import posixpath
import re
import sys

REPOSITORY = "https://github.com/jetwash/jetwash/blob/main/"
LINK = re.compile(r"\]\((\.\./[^)]*)\)")


def outside(folder):
    def replaced(match):
        path = posixpath.normpath(posixpath.join("docs", folder, match[1]))
        inside = path.startswith("docs/")
        return match[0] if inside else f"]({REPOSITORY}{path})"

    return replaced


def visit(item):
    chapter = item.get("Chapter") if isinstance(item, dict) else None
    if not chapter:
        return
    if chapter["path"]:
        folder = posixpath.dirname(chapter["path"])
        chapter["content"] = LINK.sub(outside(folder), chapter["content"])
    for child in chapter["sub_items"]:
        visit(child)


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    _, book = json.load(sys.stdin)
    # The field was `sections` before version 0.5.
    for item in book.get("items", book.get("sections", [])):
        visit(item)
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
