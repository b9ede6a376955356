"""A second reader of the same messages: Python's email package.

oracle.py FOLDER TOLD: compares what the example `tell` told of each message in FOLDER with what Python
makes of it, where both should agree, and prints one JSON object for each field: how many agree, and the
first messages that do not.
"""

import email
import email.header
import email.policy
import email.utils
import json
import os
import re
import sys
import unicodedata


def words(text):
    """Only letters and digits: how folds, quotes and damage are shown is not compared."""
    text = unicodedata.normalize("NFKC", text)
    return "".join(c for c in text if c.isalnum()).lower()


def decoded(value):
    try:
        parts = email.header.decode_header(re.sub(r"\r?\n(?=[ \t])", "", value))
        return str(email.header.make_header([(text, as_meant(charset)) for text, charset in parts]))
    except Exception:
        return None


def as_meant(charset):
    """Who says ISO 8859-1 and uses its control characters means Windows' (WHATWG Encoding §4.2)."""
    return "cp1252" if charset in ("iso-8859-1", "us-ascii") else charset


def is_plain(value):
    return value is not None and all(ord(c) < 128 for c in value)


def expected(message):
    """What both should find; None where a field is no header that RFC 5322 allows."""
    told = {}
    subject = message.get("Subject", "")
    told["subject"] = decoded(subject) if is_plain(subject) else None
    sender = message.get("From")
    if is_plain(sender):
        pairs = email.utils.getaddresses([re.sub(r"\s+", " ", sender)])
        address = pairs[0][1] if pairs else ""
        # RFC 2047 §5 allows no encoded word in an address; what one of those comes to is anybody's guess.
        is_address = re.fullmatch(r"[^@\s<>\"]+@[\w.-]+", address) and "=?" not in address
        told["from"] = address if is_address else None
    date = message.get("Date")
    if is_plain(date) and is_dated(date):
        parsed = email.utils.parsedate_tz(date)
        if parsed and 1970 < parsed[0] < 2100:
            try:
                told["date"] = email.utils.mktime_tz(parsed)
            except (ValueError, OverflowError):
                pass
    # Of a field that stands twice, which RFC 5322 §3.6 forbids, one takes the first, another the last.
    for field in ("subject", "from", "date"):
        if len(message.get_all(field, [])) > 1:
            told[field] = None
    named = files(message)
    told["files"] = None if named is None else sorted(named)
    return told


def is_dated(date):
    """Whether its time and zone are such as RFC 5322 §3.3 and §4.3 have, seconds or none: of others Python
    makes a date too, but nobody can say that it is right."""
    clock = r"\b([01]?\d|2[0-3]):[0-5]?\d(:[0-5]?\d)?( +[AP]M)?"
    return re.search(clock + r"(\s+([+-]\d{1,4}|[A-Za-z]+))?(\s+\d{4})?(\s*\(.*)?\s*$", date, re.DOTALL)


def files(part):
    """Names of what is attached, but not within nested messages; None where one is no header."""
    if part.get_content_type() == "message/rfc822":
        return []
    # What message/external-body names is elsewhere (RFC 2046 §5.2.3), and told all the same.
    if part.is_multipart() and part.get_content_type() != "message/external-body":
        inner = [files(one) for one in part.get_payload()]
        return None if None in inner else [name for names in inner for name in names]
    name = part.get_filename()
    if name is None:
        return []
    return [decoded(name) or name] if is_plain(name) else None


def agree(field, ours, theirs):
    if field == "from":
        first = ours[0] if ours else None
        return (first or "").lower() == theirs.lower()
    if field == "date":
        return ours == theirs
    if field == "files":
        return sorted(map(words, ours)) == sorted(map(words, theirs))
    return words(ours) == words(theirs)


def main():
    folder, told = sys.argv[1:]
    counts = {}
    with open(told, encoding="utf-8") as lines:
        for line in lines:
            ours = json.loads(line)
            with open(os.path.join(folder, ours["file"]), "rb") as file:
                raw = file.read()
            if raw.startswith(b"From "):
                raw = raw.split(b"\n", 1)[-1]
            try:
                theirs = expected(email.message_from_bytes(raw, policy=email.policy.compat32))
            except Exception:
                continue
            for field, value in theirs.items():
                if value is None or value == "":
                    continue
                count = counts.setdefault(field, {"field": field, "agree": 0, "differ": 0, "first": []})
                if agree(field, ours[field], value):
                    count["agree"] += 1
                else:
                    count["differ"] += 1
                    if len(count["first"]) < 8:
                        count["first"].append([ours["file"], ours[field], value])
    for count in counts.values():
        print(json.dumps(count, ensure_ascii=False))


main()
