"""Thunderbird makes its account from our autoconfig, in its own dialog, and collects.

Runs inside a network of its own (`unshare -n`), so that the ports are the real ones and nothing reaches the outside:
serve is at 80 and 443 of the only interface there is. Says on standard output what came of it, as one JSON object.

    thunderbird.py RESTANTE CONFIG FOLDER CA ADDRESS MESSAGES PICTURES     (the password is in $RESTANTE_TEST_PASSWORD)
"""

import fcntl
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time

RESTANTE, CONFIG, FOLDER, CA, ADDRESS, MESSAGES, PICTURES = sys.argv[1:]
PASSWORD = os.environ["RESTANTE_TEST_PASSWORD"]
FOLDER, PICTURES = pathlib.Path(FOLDER), pathlib.Path(PICTURES)
DOMAIN = ADDRESS.partition("@")[2]
DISPLAY = ""  # chosen by Xvfb
SCREEN = (1062, 760)
STARTED = []

# Names are ours to answer; nothing is asked of the outside, which is not there.
PREFERENCES = {
    "network.dns.localDomains": f"{DOMAIN},autoconfig.{DOMAIN},mail.{DOMAIN},smtp.{DOMAIN}",
    "network.manage-offline-status": False,
    "network.connectivity-service.enabled": False,
    "mailnews.auto_config_url": "",
    "app.donation.eoy.version.viewed": 999,
    "mail.accounthub.thundermail.enabled": False,
    "mail.biff.show_alert": False,
    "mail.biff.play_sound": False,
    "mail.rights.version": 1,
    "mail.spotlight.firstRunDone": True,
    "mailnews.start_page.enabled": False,
    "datareporting.policy.bypassNotification": True,
    "datareporting.healthreport.uploadEnabled": False,
    "toolkit.telemetry.enabled": False,
    "app.update.enabled": False,
    "extensions.update.enabled": False,
    "mail.shell.checkDefaultClient": False,
    "ui.prefersReducedMotion": 1,
    "browser.safebrowsing.malware.enabled": False,
}


def loopback_up():
    """What `ip link set lo up` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh", b"lo", 0x1 | 0x40)
        fcntl.ioctl(control, 0x8914, request)


def start(name, words, pass_fds=(), **environment):
    log = open(FOLDER / f"{name}.log", "wb")
    child = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        env={**os.environ, **environment}, pass_fds=pass_fds, start_new_session=True,
    )
    STARTED.append(child)
    return child


def stop():
    for child in reversed(STARTED):
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, sign)
                child.wait(10)
                break
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def wait(what, look, seconds=40):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    # What the person would have seen, for who looks into this.
    subprocess.run(["import", "-display", DISPLAY, "-window", "root", str(PICTURES / "stuck.png")], check=False)
    raise SystemExit(f"waited {seconds} s in vain for {what}")


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def profile():
    folder = FOLDER / "profile"
    folder.mkdir()
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
    (folder / "user.js").write_text("\n".join(lines) + "\n")
    store = f"sql:{folder}"
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run(["certutil", "-N", "--empty-password", "-d", store], **quiet)
    subprocess.run(["certutil", "-A", "-d", store, "-n", "test", "-t", "C,,", "-i", CA], **quiet)
    return folder


class Marionette:
    """The remote control that is built into Thunderbird."""

    def __init__(self, port=2828):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.settimeout(120)
        self.number = 0
        self.receive()
        self.command("WebDriver:NewSession", {})
        self.command("Marionette:SetContext", {"value": "chrome"})

    def receive(self):
        length = b""
        while not length.endswith(b":"):
            octet = self.socket.recv(1)
            if not octet:
                raise SystemExit("Thunderbird is gone")
            length += octet
        wanted, data = int(length[:-1]), b""
        while len(data) < wanted:
            data += self.socket.recv(wanted - len(data))
        return json.loads(data)

    def command(self, name, parameters):
        self.number += 1
        text = json.dumps([0, self.number, name, parameters]).encode()
        self.socket.sendall(b"%d:%s" % (len(text), text))
        _, _, error, result = self.receive()
        if error:
            raise SystemExit(f"{name}: {error['message']}")
        return result

    def run(self, script, *arguments):
        return self.command("WebDriver:ExecuteScript", {"script": script, "args": list(arguments)})["value"]


# The dialog's steps stand in one shadow tree; those that are not shown are hidden.
HUB = "const hub = document.querySelector('account-hub-container')?.shadowRoot; if (!hub) return false;"
SHOWN = HUB + """
const step = hub.querySelector('#' + arguments[0]);
return !!step && !step.hidden && step.childElementCount > 0;"""
TEXT = HUB + "return hub.querySelector('#' + arguments[0]).textContent.trim();"
FORWARD = HUB + """
const button = hub.querySelector('account-hub-email account-hub-footer #forward');
if (!button || button.disabled || button.hidden) return false;
button.click(); return true;"""
TYPE = HUB + """
const [step, fields] = arguments;
for (const [id, value] of Object.entries(fields)) {
  const input = hub.querySelector(`#${step} #${id}`);
  if (!input) return false;
  input.value = value;
  input.dispatchEvent(new Event('input', { bubbles: true }));
}
return true;"""
ACCOUNT = """
const { MailServices } = ChromeUtils.importESModule('resource:///modules/MailServices.sys.mjs');
const server = MailServices.accounts.allServers.find(s => s.type == 'pop3');
if (!server) return null;
const p = Services.prefs.getBranch('mail.server.' + server.key + '.');
const inbox = server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
return {
  host: p.getCharPref('hostname', ''), port: server.port, user: server.username, socket_type: server.socketType,
  leave: p.getBoolPref('leave_on_server', false), days: p.getIntPref('num_days_to_leave_on_server', -1),
  messages: inbox ? inbox.getTotalMessages(false) : 0,
};"""
COLLECT = """
const { MailServices } = ChromeUtils.importESModule('resource:///modules/MailServices.sys.mjs');
const server = MailServices.accounts.allServers.find(s => s.type == 'pop3');
server.getNewMessages(server.rootFolder, msgWindow, null);
return true;"""
OPEN = """
const { MailServices } = ChromeUtils.importESModule('resource:///modules/MailServices.sys.mjs');
const server = MailServices.accounts.allServers.find(s => s.type == 'pop3');
const inbox = server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
const page = document.getElementById('tabmail').currentAbout3Pane;
if (!page || !page.gDBView && page.gFolder == inbox) return false;
page.displayFolder(inbox.URI);
if (!page.gDBView || page.gDBView.rowCount == 0) return false;
page.threadTree.selectedIndex = page.gDBView.rowCount - 1;
return true;"""


def screenshot(name):
    words = ["import", "-display", DISPLAY, "-window", "root", "+dither", "-colors", "96", "-strip"]
    subprocess.run([*words, str(PICTURES / name)], check=True)


def screen():
    """A display of its own; says which."""
    ours, its = os.pipe()
    size = "{}x{}x24".format(*SCREEN)
    start("xvfb", ["Xvfb", "-displayfd", str(its), "-screen", "0", size, "-nolisten", "tcp"], pass_fds=(its,))
    os.close(its)
    with os.fdopen(ours) as number:
        return ":" + number.readline().strip()


def main():
    global DISPLAY
    loopback_up()
    start("serve", [RESTANTE, "serve", "--config", CONFIG])
    DISPLAY = screen()
    for port in (80, 443):
        wait(f"port {port}", lambda: listens(port), 30)
    folder = profile()
    (FOLDER / "home").mkdir()
    start(
        "thunderbird",
        ["thunderbird", "--profile", str(folder), "--no-remote", "--marionette", "--remote-allow-system-access", "-mail"],
        DISPLAY=DISPLAY, HOME=str(FOLDER / "home"), MOZ_DISABLE_CONTENT_SANDBOX="1", LIBGL_ALWAYS_SOFTWARE="1",
        XDG_RUNTIME_DIR=str(FOLDER / "home"), MOZ_CRASHREPORTER_DISABLE="1",
    )
    wait("Thunderbird", lambda: listens(2828), 90)
    bird = Marionette()
    wait("the main window", lambda: bird.run("return typeof openAccountHub == 'function' && document.readyState == 'complete'"))
    bird.run("window.moveTo(0, 0); window.resizeTo(...arguments); return true;", *SCREEN)
    if not bird.run(SHOWN, "emailAutoConfigSubview"):
        bird.run("openAccountHub('MAIL'); return true;")
    wait("the form for the address", lambda: bird.run(SHOWN, "emailAutoConfigSubview"))
    wait("its fields", lambda: bird.run(TYPE, "emailAutoConfigSubview", {"realName": "Ann", "email": ADDRESS}))
    wait("a way on", lambda: bird.run(FORWARD))
    wait("what was found", lambda: bird.run(SHOWN, "emailConfigFoundSubview"), 90)
    time.sleep(1)
    screenshot("thunderbird-found.png")
    wait("a way on", lambda: bird.run(FORWARD))
    wait("the form for the password", lambda: bird.run(SHOWN, "emailPasswordSubview"))
    wait("its field", lambda: bird.run(TYPE, "emailPasswordSubview", {"password": PASSWORD}))
    wait("a way on", lambda: bird.run(FORWARD))
    wait("the account", lambda: bird.run(ACCOUNT), 60)
    for _ in range(2):
        time.sleep(1)
        bird.run(FORWARD)
    bird.run(HUB + "hub.querySelector('dialog')?.close(); return true;")
    bird.run(COLLECT)
    wait("the messages", lambda: bird.run(ACCOUNT)["messages"] >= int(MESSAGES), 60)
    wait("the inbox", lambda: bird.run(OPEN))
    time.sleep(2)
    screenshot("thunderbird-inbox.png")
    print(json.dumps(bird.run(ACCOUNT)))


try:
    main()
finally:
    stop()
