"""Checks subscribeRepos frames with nothing of jetwash: what the simulator sends must be right by
somebody else's reading of the protocol.

    verify.py dump FILE [FILE ...]   frames written by `jetwash-sim --dump FILE`, each with its
                                     DID documents beside it; every frame has to pass, and broken
                                     copies of some have to fail
    verify.py corpus DIR             the checker itself, on recorded frames: real ones have to
                                     pass, and broken ones to fail for the reason on record

CBOR is read by cbrrr, signatures are checked by OpenSSL through cryptography. The Merkle search
tree, its proofs and the chain of commits are written here from the specifications.
"""

import argparse
import collections
import hashlib
import json
import pathlib
import re
import struct
import sys

import cbrrr
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

ORDERS = {
    "k256": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
    "p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
}
CURVES = {"k256": ec.SECP256K1(), "p256": ec.SECP256R1()}

DID = re.compile(r"did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]")
HANDLE = re.compile(
    r"([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
)
NSID = re.compile(
    r"[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+"
    r"(\.[a-zA-Z]([a-zA-Z0-9]{0,62})?)"
)
RKEY = re.compile(r"[a-zA-Z0-9_~.:-]{1,512}")
TID = re.compile(r"[234567abcdefghij][234567abcdefghijklmnopqrstuvwxyz]{12}")
DATETIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,20})?(Z|[+-]\d\d:\d\d)"
)
STATUSES = {
    "takendown", "suspended", "deleted", "deactivated", "desynchronized", "throttled"
}


class Reject(Exception):
    """A frame that does not hold: which sort of check it failed, and what was found."""

    def __init__(self, sort, message=""):
        super().__init__(f"{sort}: {message}" if message else sort)
        self.sort = sort


def require(condition, sort, message=""):
    if not condition:
        raise Reject(sort, message)


def is_cid(value):
    return isinstance(value, cbrrr.CID)


def is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


# Frames ------------------------------------------------------------------------------------------

COMMIT_FIELDS = {
    "seq": int, "rebase": bool, "tooBig": bool, "repo": str, "commit": cbrrr.CID, "rev": str,
    "since": (str, type(None)), "blocks": bytes, "ops": list, "time": str,
}
SYNC_FIELDS = {"seq": int, "did": str, "blocks": bytes, "rev": str, "time": str}
IDENTITY_FIELDS = {"seq": int, "did": str, "time": str}
ACCOUNT_FIELDS = {"seq": int, "did": str, "time": str, "active": bool}


def split_frame(frame):
    try:
        items = list(cbrrr.decode_multi_dag_cbor_in_violation_of_the_spec(frame))
    except Exception as error:
        raise Reject("malformed_frame", str(error)) from error
    require(len(items) == 2, "malformed_frame", f"{len(items)} items")
    header, payload = items
    require(isinstance(header, dict) and isinstance(payload, dict), "malformed_frame", "no maps")
    require(is_int(header.get("op")), "malformed_frame", "op")
    if header["op"] == 1:
        require(isinstance(header.get("t"), str), "malformed_frame", "t")
    return header, payload


def require_fields(payload, fields):
    for name, types in fields.items():
        require(name in payload, "malformed_frame", f"{name} is missing")
        value = payload[name]
        right = is_int(value) if types is int else isinstance(value, types)
        require(right, "malformed_frame", f"{name} has the wrong type")


def require_syntax(payload, did):
    require(DID.fullmatch(payload[did]), "invalid_syntax", payload[did])
    require(DATETIME.fullmatch(payload["time"]), "invalid_syntax", payload["time"])


def check_ops(ops):
    for op in ops:
        require(isinstance(op, dict), "malformed_frame", "an op that is no map")
        require(isinstance(op.get("path"), str), "malformed_frame", "op.path")
        require(isinstance(op.get("action"), str), "malformed_frame", "op.action")
        cid, prev = op.get("cid"), op.get("prev")
        require("cid" in op and (cid is None or is_cid(cid)), "malformed_frame", "op.cid")
        require(prev is None or is_cid(prev), "malformed_frame", "op.prev")
    for op in ops:
        cid, prev, action = op["cid"], op.get("prev"), op["action"]
        require(action in ("create", "update", "delete"), "invalid_op", action)
        require((cid is None) == (action == "delete"), "invalid_op", "cid")
        require(action != "create" or prev is None, "invalid_op", "prev")
        require(action != "update" or prev != cid, "invalid_op", "prev is cid")
    for op in ops:
        parts = op["path"].split("/")
        require(len(parts) == 2, "invalid_syntax", op["path"])
        nsid, rkey = parts
        require(NSID.fullmatch(nsid) and len(nsid) <= 317, "invalid_syntax", nsid)
        require(RKEY.fullmatch(rkey) and rkey not in (".", ".."), "invalid_syntax", rkey)
    paths = [op["path"] for op in ops]
    require(len(paths) == len(set(paths)), "duplicate_path")


# CAR ---------------------------------------------------------------------------------------------

def read_varint(data, at):
    value = shift = 0
    while True:
        require(at < len(data) and shift < 63, "car_invalid", "length")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            require(byte or not shift, "car_invalid", "overlong length")
            return value, at
        shift += 7


def read_car(data):
    """The roots, and the blocks by CID in their order. Every hash is checked."""
    length, at = read_varint(data, 0)
    require(at + length <= len(data), "car_invalid", "header is cut short")
    try:
        header = cbrrr.decode_dag_cbor(data[at:at + length])
    except Exception as error:
        raise Reject("car_invalid", str(error)) from error
    require(isinstance(header, dict) and header.get("version") == 1, "car_invalid", "version")
    roots = header.get("roots")
    require(isinstance(roots, list) and roots, "car_invalid", "no roots")
    require(all(is_cid(root) for root in roots), "car_invalid", "roots")
    at += length
    blocks, wrong = {}, None
    while at < len(data):
        length, at = read_varint(data, at)
        require(length >= 36 and at + length <= len(data), "car_invalid", "a block is cut short")
        cid = cbrrr.CID(data[at:at + 36])
        known = cid.is_cidv1_dag_cbor_sha256_32() or cid.is_cidv1_raw_sha256_32()
        require(known, "car_invalid", "a CID of another kind")
        block = data[at + 36:at + length]
        if hashlib.sha256(block).digest() != bytes(cid)[4:]:
            wrong = wrong or cid
        blocks[cid] = block
        at += length
    require(wrong is None, "hash_mismatch", str(wrong))
    return roots, blocks


# Commits -----------------------------------------------------------------------------------------

def read_commit(blocks, cid, repo, rev):
    require(cid in blocks, "car_invalid", "no commit block")
    try:
        commit = cbrrr.decode_dag_cbor(blocks[cid])
    except Exception as error:
        raise Reject("invalid_commit", str(error)) from error
    require(isinstance(commit, dict), "invalid_commit")
    require(commit.get("version") == 3, "unsupported_version", str(commit.get("version")))
    require(
        set(commit) == {"did", "rev", "sig", "data", "prev", "version"},
        "invalid_commit", f"fields {sorted(commit)}"
    )
    require(is_cid(commit["data"]) and isinstance(commit["sig"], bytes), "invalid_commit", "types")
    require(commit["prev"] is None or is_cid(commit["prev"]), "invalid_commit", "prev")
    require(commit["did"] == repo, "field_mismatch", "did")
    require(commit["rev"] == rev, "field_mismatch", "rev")
    return commit


def base58_decode(text):
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number = 0
    for digit in text:
        number = number * 58 + alphabet.index(digit)
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def key_of(document, did):
    """The curve and key of the signing key in a DID document."""
    assert document["id"] == did, document["id"]
    for method in document["verificationMethod"]:
        if method["id"] in ("#atproto", f"{did}#atproto"):
            assert method["type"] == "Multikey" and method["controller"] == did, method
            text = method["publicKeyMultibase"]
            assert text[0] == "z", text
            data = base58_decode(text[1:])
            curve = {b"\xe7\x01": "k256", b"\x80\x24": "p256"}[data[:2]]
            assert len(data) == 35, text
            return curve, ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve], data[2:])
    raise AssertionError(f"{did}: no signing key")


def check_signature(commit, curve, key):
    signature = commit["sig"]
    require(len(signature) == 64, "bad_signature", f"{len(signature)} bytes")
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    require(0 < r < ORDERS[curve], "bad_signature", "r")
    require(0 < s <= ORDERS[curve] // 2, "bad_signature", "high s")
    unsigned = {name: value for name, value in commit.items() if name != "sig"}
    message = cbrrr.encode_dag_cbor(unsigned)
    try:
        key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Reject("bad_signature") from None


# The Merkle search tree --------------------------------------------------------------------------

EMPTY_TREE = cbrrr.CID.cidv1_dag_cbor_sha256_32_from(cbrrr.encode_dag_cbor({"e": [], "l": None}))


def key_height(key):
    bits = int.from_bytes(hashlib.sha256(key).digest(), "big")
    return (256 - bits.bit_length()) // 2


def shared(a, b):
    length = 0
    while length < len(a) and length < len(b) and a[length] == b[length]:
        length += 1
    return length


# A partial tree is a flat list, in order, of keys (key, value, height) and of stubs, the subtrees
# that are not there (None, CID, height).

def flatten(blocks, root):
    """Reads a partial tree, checking every node on the way."""
    items = []
    bad = "inversion_fail"

    def visit(cid, height, low, high):
        if cid not in blocks:
            require(height is not None, bad, "the root node is missing")
            items.append((None, cid, height))
            return
        try:
            node = cbrrr.decode_dag_cbor(blocks[cid])
        except Exception as error:
            raise Reject(bad, str(error)) from error
        require(isinstance(node, dict) and set(node) == {"e", "l"}, bad, "no node")
        keys, previous = [], b""
        for entry in node["e"]:
            require(set(entry) == {"k", "p", "t", "v"}, bad, "no entry")
            key = previous[:entry["p"]] + entry["k"]
            expected = shared(previous, key) if keys else 0
            require(entry["p"] == expected, bad, "the prefix is not the longest")
            require(key and (not keys or previous < key), bad, "keys out of order")
            require((low is None or low < key) and (high is None or key < high), bad, "range")
            keys.append(key)
            previous = key
        heights = {key_height(key) for key in keys}
        require(len(heights) <= 1, bad, "keys of different heights")
        if heights:
            here = heights.pop()
            require(height is None or here == height, bad, "a node at the wrong height")
        else:
            if node["l"] is None:
                require(height is None, bad, "an empty node inside a tree")
                return
            require(height is not None, bad, "a root without keys")
            here = height
        children = [node["l"]] + [entry["t"] for entry in node["e"]]
        require(here > 0 or not any(children), bad, "children at height 0")
        bounds = [low] + keys + [high]
        for number, child in enumerate(children):
            if child is not None:
                visit(child, here - 1, bounds[number], bounds[number + 1])
            if number < len(keys):
                items.append((keys[number], node["e"][number]["v"], here))

    visit(root, None, None, None)
    return items


def is_known_absent(items, key):
    """Whether a key would lie in a gap in which there is no stub."""
    stub_behind_last_key = False
    for name, _, _ in items:
        if name is None:
            stub_behind_last_key = True
            continue
        if name == key:
            return False
        if name > key:
            return not stub_behind_last_key
        stub_behind_last_key = False
    return not stub_behind_last_key


def undo(items, ops):
    """The list as it was before the operations, which may be in any order."""
    bad = "inversion_fail"
    values = {name: value for name, value, _ in items if name is not None}
    gone, changed, added = set(), {}, []
    for op in ops:
        key, cid, prev = op["path"].encode(), op["cid"], op.get("prev")
        if cid is None:
            require(key not in values, bad, "a deleted record is there")
            require(is_known_absent(items, key), bad, "absence is not proven")
            added.append((key, prev, key_height(key)))
        else:
            require(values.get(key) == cid, bad, f"{op['path']} is not there")
            if prev is None:
                gone.add(key)
            else:
                changed[key] = prev
    # Into the whole list, whose gaps were looked at; only then are the created ones taken out.
    before = list(items)
    for new in added:
        place = 0
        for index, (name, _, _) in enumerate(before):
            if name is not None and name < new[0]:
                place = index + 1
        before.insert(place, new)
    return [
        (name, changed.get(name, value), height)
        for name, value, height in before
        if name is None or name not in gone
    ]


def encode_node(left, entries):
    rows, previous = [], b""
    for key, value, right in entries:
        length = shared(previous, key)
        rows.append({"p": length, "k": key[length:], "v": value, "t": right})
        previous = key
    block = cbrrr.encode_dag_cbor({"l": left, "e": rows})
    return cbrrr.CID.cidv1_dag_cbor_sha256_32_from(block)


def build(items, height):
    """The CID of the node of that height over all of the items."""
    if len(items) == 1 and items[0][0] is None and items[0][2] == height:
        return items[0][1]
    at_height = [item for item in items if item[2] == height]
    require(
        all(name is not None for name, _, _ in at_height),
        "inversion_fail", "a node is missing that the proof needs"
    )
    gaps, entries = [[]], []
    for item in items:
        if item[2] == height:
            entries.append(item)
            gaps.append([])
        else:
            gaps[-1].append(item)
    children = [build(gap, height - 1) if gap else None for gap in gaps]
    rows = [(key, value, child) for (key, value, _), child in zip(entries, children[1:])]
    return encode_node(children[0], rows)


def root_of(items):
    if not items:
        return EMPTY_TREE
    return build(items, max(height for _, _, height in items))


# The checker -------------------------------------------------------------------------------------

class Checker:
    """Checks frames one by one, and remembers where each account stands."""

    def __init__(self, documents):
        self.documents = documents
        self.keys = {}
        self.last_seq = 0
        self.states = {}
        self.inactive = set()
        self.count = collections.Counter()
        self.bytes = 0

    def key(self, did):
        if did not in self.keys:
            self.keys[did] = key_of(self.documents[did], did)
        return self.keys[did]

    def check(self, frame, chained=True):
        """The sort of frame. Raises [`Reject`]."""
        header, payload = split_frame(frame)
        if header["op"] == -1:
            require(isinstance(payload.get("error"), str), "malformed_frame", "error")
            return "error_frame"
        kind = header.get("t")
        if header["op"] != 1 or kind not in ("#commit", "#sync", "#identity", "#account", "#info"):
            return "ignore"
        if kind == "#info":
            return "info"
        verdict = getattr(self, kind[1:])(payload)
        if chained:
            # Only the simulator's frames are known to be one stream, and to be canonical.
            encoded = cbrrr.encode_dag_cbor(header) + cbrrr.encode_dag_cbor(payload)
            require(encoded == frame, "malformed_frame", "not in canonical order")
            require(payload["seq"] == self.last_seq + 1, "chain", f"seq {payload['seq']}")
            self.last_seq = payload["seq"]
            self.chain(kind, payload)
        self.count[kind] += 1
        self.bytes += len(frame)
        return verdict

    def commit(self, payload):
        require_fields(payload, COMMIT_FIELDS)
        prev_data = payload.get("prevData")
        require(prev_data is None or is_cid(prev_data), "malformed_frame", "prevData")
        ops = payload["ops"]
        if len(ops) <= 200:
            check_ops(ops)
        require_syntax(payload, "repo")
        require(TID.fullmatch(payload["rev"]), "invalid_syntax", payload["rev"])
        since = payload["since"]
        require(since is None or TID.fullmatch(since), "invalid_syntax", since)
        require(len(ops) <= 200, "limit_exceeded", "ops")
        require(0 < len(payload["blocks"]) <= 2_000_000, "limit_exceeded", "blocks")
        flagged = payload["rebase"] or payload["tooBig"]
        require(not flagged, "deprecated_flag")

        roots, blocks = read_car(payload["blocks"])
        require(roots[0] == payload["commit"], "field_mismatch", "roots[0]")
        commit = read_commit(blocks, roots[0], payload["repo"], payload["rev"])
        legacy = since is not None and prev_data is None
        legacy |= any(op["action"] != "create" and op.get("prev") is None for op in ops)
        if not legacy:
            self.invert(blocks, commit["data"], ops, prev_data)
        check_signature(commit, *self.key(payload["repo"]))
        if legacy:
            return "legacy_commit"
        for op in ops:
            if op["cid"] is not None and op["cid"] not in blocks:
                return "record_missing"
        self.last_commit = (commit, blocks)
        return "accept"

    def invert(self, blocks, data, ops, prev_data):
        if not ops and data == prev_data and data not in blocks:
            return
        before = undo(flatten(blocks, data), ops)
        expected = EMPTY_TREE if prev_data is None else prev_data
        found = root_of(before)
        require(found == expected, "inversion_fail", f"{found} is not {expected}")

    def sync(self, payload):
        require_fields(payload, SYNC_FIELDS)
        require_syntax(payload, "did")
        require(TID.fullmatch(payload["rev"]), "invalid_syntax", payload["rev"])
        require(0 < len(payload["blocks"]) <= 10_000, "limit_exceeded", "blocks")
        roots, blocks = read_car(payload["blocks"])
        commit = read_commit(blocks, roots[0], payload["did"], payload["rev"])
        check_signature(commit, *self.key(payload["did"]))
        self.last_commit = (commit, blocks)
        return "accept"

    def identity(self, payload):
        require_fields(payload, IDENTITY_FIELDS)
        require_syntax(payload, "did")
        handle = payload.get("handle")
        if handle is not None:
            require(isinstance(handle, str), "malformed_frame", "handle")
            require(HANDLE.fullmatch(handle) and len(handle) <= 253, "invalid_syntax", handle)
        return "accept"

    def account(self, payload):
        require_fields(payload, ACCOUNT_FIELDS)
        require_syntax(payload, "did")
        status = payload.get("status")
        require(status is None or isinstance(status, str), "malformed_frame", "status")
        return "accept"

    # What only holds for a whole stream.

    def chain(self, kind, payload):
        did = payload.get("repo") or payload["did"]
        require(did in self.documents, "chain", f"no document of {did}")
        if kind == "#account":
            status = payload.get("status")
            require(status is None or status in STATUSES, "chain", f"status {status}")
            (self.inactive.discard if payload["active"] else self.inactive.add)(did)
            self.count[f"account {status or ('active' if payload['active'] else 'inactive')}"] += 1
        elif kind == "#commit":
            require(did not in self.inactive, "chain", "a commit of an inactive account")
            self.chain_commit(did, payload)
        elif kind == "#sync":
            require(did not in self.inactive, "chain", "a sync of an inactive account")
            commit, blocks = self.last_commit
            require(len(blocks) == 1, "chain", "a sync with more than the commit")
            state = self.states.setdefault(did, (commit["rev"], commit["data"]))
            require(state == (commit["rev"], commit["data"]), "chain", "a sync of another state")

    def chain_commit(self, did, payload):
        commit, blocks = self.last_commit
        state = self.states.get(did)
        since, prev_data = payload["since"], payload.get("prevData")
        require((since is None) == (prev_data is None), "chain", "since without prevData")
        if state is not None:
            require(since == state[0], "chain", f"since {since} is not {state[0]}")
            require(prev_data == state[1], "chain", "prevData is not the last data")
        require(since is None or since < payload["rev"], "chain", "rev goes back")
        self.states[did] = (payload["rev"], commit["data"])
        linked = {payload["commit"]} | {op["cid"] for op in payload["ops"]}
        for op in payload["ops"]:
            self.count[op["action"]] += 1
            if op["cid"] is not None:
                record = cbrrr.decode_dag_cbor(blocks[op["cid"]])
                collection = op["path"].split("/")[0]
                require(record["$type"] == collection, "chain", f"$type {record['$type']}")
                require(cbrrr.encode_dag_cbor(record) == blocks[op["cid"]], "chain", "record")
                self.count[f"op {collection}"] += 1
        nodes = [block for cid, block in blocks.items() if cid not in linked]
        for block in nodes:
            require(set(cbrrr.decode_dag_cbor(block)) == {"e", "l"}, "chain", "an unlinked block")
        self.count["nodes"] += len(nodes)
        self.count["blocks"] += len(blocks)
        self.count[self.key(did)[0]] += 1
        self.count["commit block last"] += list(blocks)[-1] == payload["commit"]
        self.count["ops"] += len(payload["ops"])
        self.count["several ops"] += len(payload["ops"]) > 1


def read_frames(data):
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        frame = data[at + 4:at + 4 + length]
        assert len(frame) == length, "the last frame is cut short"
        yield frame
        at += 4 + length


# Broken copies -----------------------------------------------------------------------------------

def broken_copies(frame):
    """A frame spoiled in several ways: each with the sort of failure that it must come to."""
    header, payload = split_frame(frame)
    roots, blocks = read_car(payload["blocks"])

    def again(**fields):
        return cbrrr.encode_dag_cbor(header) + cbrrr.encode_dag_cbor({**payload, **fields})

    def car(blocks, root):
        sections = [cbrrr.encode_dag_cbor({"roots": [root], "version": 1})]
        sections += [bytes(cid) + block for cid, block in blocks.items()]
        return b"".join(varint(len(section)) + section for section in sections)

    def signed_otherwise(**fields):
        commit = {**cbrrr.decode_dag_cbor(blocks[roots[0]]), **fields}
        block = cbrrr.encode_dag_cbor(commit)
        cid = cbrrr.CID.cidv1_dag_cbor_sha256_32_from(block)
        others = {key: value for key, value in blocks.items() if key != roots[0]}
        return again(commit=cid, blocks=car({**others, cid: block}, cid))

    assert again() == frame
    commit = cbrrr.decode_dag_cbor(blocks[roots[0]])
    flipped = {**blocks}
    last = list(blocks)[0]
    flipped[last] = flipped[last][:-1] + bytes([flipped[last][-1] ^ 1])
    yield "hash_mismatch", again(blocks=car(flipped, roots[0]))
    yield "inversion_fail", again(ops=payload["ops"][1:])
    yield "inversion_fail", again(prevData=roots[0])
    without_root = {key: value for key, value in blocks.items() if key != commit["data"]}
    yield "inversion_fail", again(blocks=car(without_root, roots[0]))
    signature = commit["sig"]
    yield "bad_signature", signed_otherwise(sig=signature[:-1] + bytes([signature[-1] ^ 1]))
    for curve in ORDERS:
        high = ORDERS[curve] - int.from_bytes(signature[32:], "big")
        if 0 < high < 1 << 256:
            high = high.to_bytes(32, "big")
            yield "bad_signature", signed_otherwise(sig=signature[:32] + high)
    if payload["since"] is not None:
        yield "chain", again(since="2222222222222")
    yield "chain", again(seq=payload["seq"] + 1)


def varint(number):
    digits = []
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(digits + [number])


def check_broken_copies(checker, frame):
    """How many broken copies are refused for the right reason, and how many are not."""
    right = wrong = 0
    for sort, copy in broken_copies(frame):
        did = split_frame(frame)[1]["repo"]
        spare = Checker(checker.documents)
        spare.keys, spare.last_seq = checker.keys, checker.last_seq
        spare.inactive = set(checker.inactive)
        # With the revision it must follow, so that a wrong one shows.
        payload = split_frame(frame)[1]
        spare.states = {did: checker.states.get(did, (payload["since"], payload.get("prevData")))}
        if payload["since"] is None:
            spare.states = {}
        try:
            found = spare.check(copy)
        except Reject as reject:
            found = reject.sort
        if found == sort:
            right += 1
        else:
            wrong += 1
            print(f"a broken copy of seq {payload['seq']}: {found}, should be {sort}")
    return right, wrong


# Commands ----------------------------------------------------------------------------------------

def check_dump(path):
    lines = pathlib.Path(f"{path}.dids.jsonl").read_text().splitlines()
    documents = {document["id"]: document for document in map(json.loads, lines)}
    checker = Checker(documents)
    failed = 0
    for number, frame in enumerate(read_frames(pathlib.Path(path).read_bytes())):
        header, payload = split_frame(frame)
        if number < 300 and header["t"] == "#commit" and payload["ops"]:
            right, wrong = check_broken_copies(checker, frame)
            checker.count["broken copies refused"] += right
            failed += wrong
        try:
            verdict = checker.check(frame)
            require(verdict == "accept", verdict)
        except Reject as reject:
            failed += 1
            if failed <= 10:
                print(f"{path}: frame {number}: {reject}")
    return checker, number + 1, failed


def dump(paths):
    rows, failures = [], 0
    for path in paths:
        checker, frames, failed = check_dump(path)
        failures += failed
        count = checker.count
        commits = max(count["#commit"], 1)
        ops = max(count["ops"], 1)
        rows.append({
            "file": pathlib.Path(path).name,
            "frames": frames,
            "failed": failed,
            "broken refused": count["broken copies refused"],
            "commit": count["#commit"],
            "sync": count["#sync"],
            "identity": count["#identity"],
            "account": count["#account"],
            "accounts": len(checker.states),
            "ops": count["ops"],
            "create %": f"{100 * count['create'] / ops:.1f}",
            "update %": f"{100 * count['update'] / ops:.1f}",
            "delete %": f"{100 * count['delete'] / ops:.1f}",
            "like %": f"{100 * count['op app.bsky.feed.like'] / ops:.1f}",
            "several ops": count["several ops"],
            "p256": count["p256"],
            "blocks/commit": f"{count['blocks'] / commits:.2f}",
            "nodes/commit": f"{count['nodes'] / commits:.2f}",
            "commit last %": f"{100 * count['commit block last'] / commits:.1f}",
            "bytes/frame": checker.bytes // max(frames - failed, 1),
        })
    table(rows)
    return failures == 0 and all(row["frames"] and row["broken refused"] for row in rows)


def table(rows):
    names = list(rows[0])
    width = max(map(len, names))
    for name in names:
        print(name.ljust(width), *(str(row[name]).rjust(14) for row in rows))


def corpus(folder):
    import zstandard

    folder = pathlib.Path(folder)

    def frames(name):
        data = (folder / name).read_bytes()
        return list(read_frames(zstandard.ZstdDecompressor().decompressobj().decompress(data)))

    def lines(name):
        return [json.loads(line) for line in (folder / name).read_text().splitlines()]

    documents = json.loads((folder / "firehose-2026-07-04/did_docs.json").read_text())
    good = real_frames(
        frames("firehose-2026-07-04/frames.bin.zst"),
        lines("firehose-2026-07-04/frames_expected.jsonl"),
        documents,
    )
    return edge_frames(
        frames("edge-frames/edge_frames.bin.zst"),
        lines("edge-frames/edge_frames.jsonl"),
        documents,
    ) and good


def real_frames(frames, expected, documents):
    checker = Checker(documents)
    wrong = 0
    for frame, expect in zip(frames, expected, strict=True):
        try:
            verdict = checker.check(frame, chained=False)
        except Reject as reject:
            verdict = str(reject)
        if verdict != "accept":
            print(f"real frame {expect['i']}: {verdict}")
            wrong += 1
            continue
        if expect["t"] == "#commit":
            commit, blocks = checker.last_commit
            same = (
                commit["data"].encode() == expect["data"]
                and commit["sig"].hex() == expect["sig_hex"]
                and len(blocks) == expect["n_blocks"]
            )
            if not same:
                print(f"real frame {expect['i']}: read otherwise than on record")
                wrong += 1
    print(f"real frames: {len(frames) - wrong} of {len(frames)} as on record")
    return wrong == 0 and len(frames) == 100


def edge_frames(frames, expected, documents):
    # What the checker has to tell apart; the other sorts are shown, but nothing depends on them.
    needed = {"accept", "hash_mismatch", "inversion_fail", "bad_signature"}
    seen, agreed = collections.Counter(), collections.Counter()
    for frame, expect in zip(frames, expected, strict=True):
        try:
            verdict = Checker(documents).check(frame, chained=False)
        except Reject as reject:
            verdict = reject.sort
        sort = expect["class"]
        # Seen by itself, a frame that only breaks the chain is a good one.
        right = verdict == ("accept" if sort == "chain_only" else sort)
        seen[sort] += 1
        agreed[sort] += right
        if not right:
            print(f"edge frame {expect['n']} {expect['name']}: {verdict}, on record {sort}")
    for sort in sorted(seen):
        print(f"edge frames: {sort.ljust(20)} {agreed[sort]:3} of {seen[sort]:3}")
    return all(agreed[sort] == seen[sort] > 0 for sort in needed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("dump").add_argument("files", nargs="+")
    commands.add_parser("corpus").add_argument("folder")
    args = parser.parse_args()
    good = dump(args.files) if args.command == "dump" else corpus(args.folder)
    print("passed" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
