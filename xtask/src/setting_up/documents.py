"""Asks for the documents over HTTP and HTTPS, and reads them with Python's own readers.

    documents.py HTTP-PORT HTTPS-PORT POP3S-PORT CA     (`config dns --json` on standard input)
"""

import http.client
import json
import os
import plistlib
import ssl
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree

HTTP, HTTPS, POP3S, CA = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
DOMAIN = "example.org"
CHECKS = 0


def ask(path, body=None, host=f"mail.{DOMAIN}", tls=True):
    """Status, type and octets of an answer; over TLS the certificate is verified for the name asked for."""
    if tls:
        context = ssl.create_default_context(cafile=CA)
        connection = Named(host, HTTPS, context=context, timeout=20)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", HTTP, timeout=20)
    kind = "text/xml" if body and body.startswith("<") else "application/x-www-form-urlencoded"
    headers = {"Host": host, **({"Content-Type": kind} if body else {})}
    connection.request("POST" if body else "GET", path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers["Content-Type"], answer.read()


class Named(http.client.HTTPSConnection):
    """Goes to loopback whatever the name, and verifies the name."""

    def connect(self):
        import socket
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)


def same(what, is_, should):
    global CHECKS
    CHECKS += 1
    if is_ != should:
        raise SystemExit(f"{what}: {is_!r}, should be {should!r}")


def autoconfig():
    for host, tls in ((f"autoconfig.{DOMAIN}", False), (f"autoconfig.{DOMAIN}", True), (DOMAIN, True)):
        for path in ("/mail/config-v1.1.xml?emailaddress=ann%40example.org", "/.well-known/autoconfig/mail/config-v1.1.xml"):
            status, kind, document = ask(path, host=host, tls=tls)
            same(f"autoconfig at {host}", (status, kind), (200, "text/xml; charset=utf-8"))
            root = ElementTree.fromstring(document)
            same("root", (root.tag, root.get("version")), ("clientConfig", "1.1"))
            provider = root.find("emailProvider")
            same("domain", [d.text for d in provider.findall("domain")], [DOMAIN])
            server = provider.find("incomingServer")
            same("kind", server.get("type"), "pop3")
            said = {element.tag: (element.text or "").strip() for element in server.iter()}
            for key, value in {
                "hostname": f"mail.{DOMAIN}", "port": POP3S, "socketType": "SSL", "username": "%EMAILADDRESS%",
                "authentication": "password-cleartext", "leaveMessagesOnServer": "true", "daysToLeaveMessagesOnServer": "30",
            }.items():
                same(key, said[key], value)
            same("outgoing", provider.find("outgoingServer/hostname").text, f"smtp.{DOMAIN}")
    same("a foreign domain", ask("/mail/config-v1.1.xml?emailaddress=ann%40example.com")[0], 404)
    same("a foreign name", ask("/setup", host="evil.example", tls=False)[0], 421)


def autodiscover():
    space = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
    body = (
        '<?xml version="1.0" encoding="utf-8"?><Autodiscover '
        'xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request>'
        f"<EMailAddress>%s</EMailAddress><AcceptableResponseSchema>{space}</AcceptableResponseSchema>"
        "</Request></Autodiscover>"
    )
    status, _, document = ask("/AutoDiscover/AutoDiscover.xml", body % "ann@example.org")
    same("autodiscover", status, 200)
    protocols = ElementTree.fromstring(document).findall(f".//{{{space}}}Protocol")
    said = [{element.tag.partition("}")[2]: element.text for element in protocol} for protocol in protocols]
    pop3 = next(protocol for protocol in said if protocol["Type"] == "POP3")
    same("POP3", {key: pop3[key] for key in ("Server", "Port", "LoginName", "SSL", "Encryption", "SPA")}, {
        "Server": f"mail.{DOMAIN}", "Port": POP3S, "LoginName": "ann@example.org",
        "SSL": "on", "Encryption": "SSL", "SPA": "off",
    })
    same("a foreign domain", ask("/autodiscover/autodiscover.xml", body % "ann@example.com")[0], 404)
    bomb = '<!DOCTYPE a [<!ENTITY b "ann@example.org">]><a><EMailAddress>&b;</EMailAddress></a>'
    _, _, document = ask("/autodiscover/autodiscover.xml", bomb)
    same("an entity", [e.text for e in ElementTree.fromstring(document).iter() if e.tag.endswith("ErrorCode")], ["600"])
    try:
        refused = ask("/autodiscover/autodiscover.xml", "<a>" + "x" * 100_000 + "</a>")[0]
    except (ConnectionError, ssl.SSLError):
        # Refused before it was sent whole, and the answer lost with the connection.
        refused = 413
    same("a large body", refused, 413)


def profile():
    status, kind, document = ask("/setup/profile?address=ann%40example.org&device=phone")
    same("profile", (status, kind), (200, "application/x-apple-aspen-config"))
    whole = plistlib.loads(document)
    mail = whole["PayloadContent"][0]
    same("types", (whole["PayloadType"], mail["PayloadType"]), ("Configuration", "com.apple.mail.managed"))
    same("account", (mail["EmailAccountType"], mail["EmailAddress"]), ("EmailTypePOP", "ann@example.org"))
    same("server", (mail["IncomingMailServerHostName"], mail["IncomingMailServerPortNumber"]), (f"mail.{DOMAIN}", int(POP3S)))
    same("TLS", mail["IncomingMailServerUseSSL"], True)
    same("login", mail["IncomingMailServerUsername"], "ann+phone@example.org")
    same("no password", "IncomingPassword" in mail, False)
    password = os.environ["RESTANTE_TEST_PASSWORD"]
    form = urllib.parse.urlencode({"address": "ann@example.org", "password": password})
    status, _, document = ask("/setup/profile", form)
    same("with a password", (status, plistlib.loads(document)["PayloadContent"][0]["IncomingPassword"]), (200, password))
    same("a wrong one", ask("/setup/profile", form + "x")[0], 403)


def records():
    said = [json.loads(line) for line in sys.stdin]
    found = {(record["type"], record["name"]): record.get("port", record["target"]) for record in said}
    same("_pop3s", found["SRV", f"_pop3s._tcp.{DOMAIN}."], int(POP3S))
    same("_autodiscover", found["SRV", f"_autodiscover._tcp.{DOMAIN}."], HTTPS)
    same("autoconfig", found["CNAME", f"autoconfig.{DOMAIN}."], f"mail.{DOMAIN}.")


def page():
    status, kind, document = ask("/setup?address=ann%40example.org&device=phone")
    same("page", (status, kind), (200, "text/html; charset=utf-8"))
    for needed in (f"mail.{DOMAIN}", POP3S, "ann+phone@example.org", "30 days", "/setup/qr.svg"):
        same(f"{needed} on the page", needed in document.decode(), True)
    code = ElementTree.fromstring(ask("/setup/qr.svg?address=ann%40example.org")[2])
    same("the code", code.tag, "{http://www.w3.org/2000/svg}svg")


for part in (autoconfig, autodiscover, profile, records, page):
    part()
print(f"{CHECKS} checks")
