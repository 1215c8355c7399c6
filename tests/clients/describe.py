"""The one form in which the clients are compared.

As a program it brings the lines of events on its standard input into that form.
"""

import json
import sys


def describe(event):
    did, kind = event["did"], event["kind"]
    if kind == "commit":
        commit = event["commit"]
        path = f"{commit['collection']}/{commit['rkey']}"
        return f"{did} {commit['rev']} {commit['operation']} {path}"
    return f"{did} {kind} {event[kind]['seq']}"


if __name__ == "__main__":
    for line in sys.stdin:
        print(describe(json.loads(line)))
