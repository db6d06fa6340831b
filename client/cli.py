"""The `myelin` command: sign in, hand in, ask, receive, prove; a bar for people, `--json` for scripts.

Exit status: 0 done, 1 refused or broken, 2 asked wrongly, 3 the registry cannot be reached (try again: what arrived is kept).
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from client import life_commands, package, said, sheets, upload
from client.api import Refused, Registry, sign_in, wait_for
from client.desk import Desk, upload_key
from client.errors import ClientError, Unreachable, Usage
from client.records import Upload

LISTS = ("datasets", "sites", "participants", "visits", "consents", "clinical-records", "mappings", "uploads", "studies", "images", "releases", "requests",
         "entitlements", "packages", "notices", "namings", "withdrawals", "recalls", "dictionary", "audit/lines")  # fmt: skip


class Bars:
    """Progress bars on standard error, one for each thing under way; nothing when output is for a script."""

    def __init__(self, console: Console, on: bool) -> None:
        self.rich = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn(), console=console)
        self.tasks: dict[str, TaskID] = {}
        self.on = on

    def show(self, what: str, done: int, total: int) -> None:
        if not self.on:
            return
        if what not in self.tasks:
            self.tasks[what] = self.rich.add_task(what, total=total)
        self.rich.update(self.tasks[what], completed=done, total=total)

    def context(self) -> AbstractContextManager[Any]:
        return self.rich if self.on else nullcontext()


class Command:
    """One call of `myelin`: its arguments, the desk, and where it writes."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.desk = Desk.of(os.environ)
        self.out, self.err = Console(), Console(stderr=True)
        self.line: Registry | None = None
        self.bars = Bars(self.err, not args.json and sys.stderr.isatty())

    def registry(self) -> Registry:
        self.line = Registry(*self.desk.login(os.environ))
        return self.line

    def answer(self, data: Any, text: str = "") -> int:
        """Print the answer: JSON for scripts, a sentence for people. Returns exit status 0."""
        if self.args.json or not text:
            self.out.print_json(json.dumps(plain(data)))
        else:
            self.out.print(text, highlight=False, markup=False)
        return 0

    # --- commands ------------------------------------------------------------------------------------------------------------------------

    def login(self) -> int:
        """sign in and keep a token on this desk"""
        url = self.args.url.rstrip("/")
        token = self.args.token or (sys.stdin.readline().strip() if self.args.token_stdin else "")
        if not token:
            password = os.environ.get("MYELIN_PASSWORD") or getpass.getpass("Password: ")
            email = self.args.email or input("E-mail: ")
            scopes = self.args.scope or ("read", "write", "download")
            ask = partial(sign_in, url, email, password, name="myelin command", scopes=scopes, days=self.args.days)
            try:
                token = ask()
            except Refused as error:
                if error.code != "second_factor_needed":
                    raise
                token = ask(code=getpass.getpass("Code of your authenticator: "))
        self.line = Registry(url, token)
        me = self.line.me()
        self.desk.remember(url, token)
        return self.answer({"url": url, "email": me.email}, f"Signed in as {me.email}. The token is kept in {self.desk.home}.")

    def upload(self) -> int:
        """hand in a folder; run it again to go on where it stopped"""
        registry, folder = self.registry(), Path(self.args.folder)
        key = upload_key(registry.url, self.args.dataset, self.args.site, folder)
        with self.bars.context():
            entries = upload.manifest(folder, self.bars.show)
            if self.args.names:
                upload.write_names(entries, Path(self.args.names))
            id = self.args.resume or self.desk.upload_of(key) or registry.open_upload(self.args.dataset, self.args.site).id
            self.desk.remember_upload(key, id)
            table = said.read(Path(self.args.said)) if self.args.said else None
            base = folder.parent if folder.is_file() else folder
            sent = upload.hand_in(registry, id, entries, folder=base, table=table, threads=self.args.threads, progress=self.bars.show)
        self.desk.remember_upload(key, None)
        text = f"{len(entries)} files are with the registry ({sent.sent} sent, {sent.skipped} were there). Upload {id}."
        return self.answer({"upload": id, "files": len(entries), "sent": sent.sent, "skipped": sent.skipped}, text)

    def status(self) -> int:
        """what came of an upload, file by file with --receipt"""
        registry, id = self.registry(), self.args.upload
        with self.bars.context():
            found = wait_for(lambda: registry.upload(id), settled, seen=self.seen) if self.args.wait else registry.upload(id)
        if self.args.receipt:
            return self.answer(registry.receipt(id))
        studies = [s for s in registry.studies(upload=id) if s.state in ("waiting", "refused")]
        lines = [f"Upload {id}: {found.state}.", "Files: " + counts(found.files), "Studies: " + counts(found.studies)]
        lines += [f"  study {s.id}: {s.state}, {s.code}: {s.reason} {s.advice}" for s in studies]
        return self.answer({**asdict(found), "unsettled": studies}, "\n".join(lines))

    def seen(self, found: Upload) -> None:
        total = sum(found.studies.values())
        ended = found.studies.get("recorded", 0) + found.studies.get("refused", 0) + found.studies.get("waiting", 0)
        self.bars.show(f"upload is {found.state}, studies", ended, max(total, 1))

    def query(self) -> int:
        """any list of the registry, filtered; as a table or JSON"""
        registry = self.registry()
        filters = dict(part.split("=", 1) for part in self.args.filter)
        rows = []
        for row in registry.rows(self.args.what, dataset=self.args.dataset, **filters):
            rows.append(row)
            if self.args.limit and len(rows) >= self.args.limit:
                break
        if self.args.json:
            return self.answer(rows)
        self.out.print(table(rows))
        return 0

    def count(self) -> int:
        """how many people there are, as field:value conditions say; --fields lists what may be asked"""
        registry, asked = self.registry(), self.args
        if asked.fields or not asked.dataset:
            fields = registry.count_fields()
            return self.answer(fields, "\n".join(f"{name}: {', '.join(values)}" for name, values in fields.items()))
        told = registry.count(asked.dataset, asked.where, by=asked.by, site=asked.site)
        lines = [f"{row['value'] or 'all'}: {'not told' if row['count'] is None else row['count']}" for row in told["counts"]]
        return self.answer(told, "\n".join(lines))

    def map(self) -> int:
        """say how your site's clinical table reads"""
        try:
            spec = json.loads(sheets.text(Path(self.args.file)))
        except ValueError:
            raise Usage("not_json", "The mapping is not JSON.", "See docs/how-to/import-clinical-tables.md.") from None
        saved = self.registry().save_mapping(self.args.dataset, self.args.site, self.args.name, spec)
        return self.answer(saved, f"Saved as {saved.name}, number {saved.number}.")

    def table(self) -> int:
        """try a clinical table (CSV, REDCap export), or --apply it: all or none"""
        registry, asked = self.registry(), self.args
        text = sheets.text(Path(asked.file))
        if asked.cut:
            saved = registry.mapping(asked.dataset, asked.site, asked.mapping)
            if saved is None:
                raise Usage("no_mapping", "Your site has no mapping of this name in this dataset.", "Save one: myelin map --help")
            text = sheets.cut(text, saved.spec)
        report = registry.send_table(asked.dataset, asked.site, asked.mapping, text, apply=asked.apply)
        lines = [f"row {f['row']}, {f['column']} ({f['rule']}): {f['reason']}. {f['advice']}" for f in report.faults]
        done = "Taken" if report.applied else f"{report.faulty} thing(s) may not stand" if report.faulty else "Nothing is wrong; add --apply to take it"
        changes = ", ".join(f"{what}: {counts(numbers)}" for what, numbers in report.changes.items())
        self.answer(report, "\n".join([*lines, f"{done}. {report.rows} rows; {changes}."]))
        return 1 if report.faulty else 0

    def clinical(self) -> int:
        """write participants, sessions and phenotype of your site or dataset"""
        files = self.registry().clinical_tables(self.args.dataset)
        sheets.lay_out(files, Path(self.args.out))
        return self.answer({"files": sorted(files)}, f"{len(files)} files in {self.args.out}")

    def request(self) -> int:
        """ask for data: draft and submit a request, agree, or look at it"""
        registry = self.registry()
        if self.args.look:
            return self.answer(registry.request(self.args.look))
        if self.args.sign:
            agreement = registry.agreement(self.args.sign)
            self.out.print(agreement.text, markup=False)
            if not self.args.accept:
                raise Usage("not_accepted", "The agreement was shown, not signed.", f"Sign it: myelin request --sign {self.args.sign} --accept")
            return self.answer(registry.sign(self.args.sign, agreement.version))
        if not (self.args.dataset and self.args.title and self.args.purpose and self.args.identity):
            raise Usage("incomplete", "A request needs --dataset, --title, --purpose and --identity.", "See: myelin request --help")
        identity = Path(self.args.identity)
        key = str(package.read_identity(identity).to_public()) if identity.exists() else package.new_identity(identity)
        asked = {"non_profit": not self.args.commercial, **{name: getattr(self.args, name) for name in (*USES, *SAID, "months")}}
        draft = registry.draft(
            dataset=self.args.dataset, title=self.args.title, abstract=self.args.abstract, purpose=self.args.purpose, recipient_key=key, **asked
        )
        return self.answer(registry.submit(draft.id))

    def download(self) -> int:
        """build, fetch, open and prove a package"""
        registry, out = self.registry(), Path(self.args.out)
        identity = package.read_identity(Path(self.args.identity))
        id = self.args.package or registry.pack(self.args.entitlement, self.args.release).id
        with self.bars.context():
            ready = package.wait_ready(registry, id)
            sealed = package.fetch(registry, ready, out, progress=self.bars.show)
            folder = package.unpack(sealed, identity, out)
            opened = package.verify(folder, registry.signing_key(), self.bars.show)
        if not self.args.keep:
            sealed.unlink()
        return self.answer({"package": id, "folder": str(folder), "files": opened.files}, f"{opened.files} files, each as signed by the registry, in {folder}")

    def verify(self) -> int:
        """prove an opened package again: signature and every file"""
        key = self.args.key or self.registry().signing_key()
        with self.bars.context():
            opened = package.verify(Path(self.args.folder), key, self.bars.show)
        return self.answer({"files": opened.files, "ok": True}, f"{opened.files} files are as signed by the registry.")

    def withdraw_ack(self) -> int:
        """read notices of withdrawal and recall; confirm that the data named was deleted"""
        registry = self.registry()
        if not self.args.notice:
            return self.answer([n for n in registry.notices() if n.acknowledged_at is None or self.args.all])
        if not self.args.deleted:
            raise Usage("not_confirmed", "A notice is acknowledged when the data is deleted.", "Delete it, then add --deleted.")
        return self.answer(registry.acknowledge(self.args.notice, self.args.statement))


def settled(found: Upload) -> bool:
    """Whether nothing moves any more without a person."""
    moving = sum(found.studies.get(state, 0) for state in ("ready", "processing"))
    return found.state in ("done", "failed") or (found.state == "sorted" and moving == 0)


def counts(numbers: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in numbers.items() if n) or "none"


def plain(data: Any) -> Any:
    """Records as dictionaries, at any depth."""
    if is_dataclass(data) and not isinstance(data, type):
        return asdict(data)
    if isinstance(data, list):
        return [plain(d) for d in data]
    return {k: plain(v) for k, v in data.items()} if isinstance(data, dict) else data


def table(rows: list[dict[str, Any]]) -> Table:
    """Rows as a table of their short columns."""
    found = Table()
    names = [k for k in rows[0] if not isinstance(rows[0][k], dict | list)] if rows else ["nothing found"]
    for name in names:
        found.add_column(name, overflow="fold")
    for row in rows:
        found.add_row(*["" if row.get(n) is None else str(row.get(n)) for n in names])
    return found


def parser() -> argparse.ArgumentParser:
    """The command line: one sub-command per method of Command."""
    top = argparse.ArgumentParser(prog="myelin", description="Speak to a Myelin registry: hand in, ask, receive, prove.")
    top.add_argument("--json", action="store_true", help="answer in JSON, no progress bars")
    commands = top.add_subparsers(dest="command", required=True)

    def command(name: str, does: Callable[[Command], int]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=does.__doc__)
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="answer in JSON, no progress bars")
        sub.set_defaults(does=does)
        return sub

    login = command("login", Command.login)
    login.add_argument("url")
    login.add_argument("--email")
    login.add_argument("--token", help="a token made on the registry's page (else: e-mail and password are asked)")
    login.add_argument("--token-stdin", action="store_true", help="read the token from standard input")
    login.add_argument("--scope", action="append", help="what the new token may do: read, write, download, decide (may be repeated)")
    login.add_argument("--days", type=int, default=30)
    send = command("upload", Command.upload)
    send.add_argument("folder")
    send.add_argument("--dataset", required=True)
    send.add_argument("--site", required=True)
    send.add_argument("--resume", metavar="UPLOAD", help="go on with this upload (found again by itself on the same desk)")
    send.add_argument("--names", metavar="FILE", help="write number -> path for your own eyes; the registry answers with numbers")
    send.add_argument("--said", metavar="CSV", help="what is said of files: path, and any of visit, contrast, body, annotation, rater, labels, beside")
    send.add_argument("--threads", type=int, default=4)
    status = command("status", Command.status)
    status.add_argument("upload")
    status.add_argument("--wait", action="store_true", help="until nothing moves without a person")
    status.add_argument("--receipt", action="store_true", help="the verdict of every file, as JSON")
    query = command("query", Command.query)
    query.add_argument("what", choices=LISTS)
    query.add_argument("filter", nargs="*", type=assignment, help="name=value, such as suffix=FLAIR grade=pass")
    query.add_argument("--dataset")
    query.add_argument("--limit", type=int, default=0)
    how_many = command("count", Command.count)
    how_many.add_argument("where", nargs="*", help="field:value, at most three, such as sex:F diagnosis:ms")
    how_many.add_argument("--dataset")
    how_many.add_argument("--by", default="", help="one count for each value of this field")
    how_many.add_argument("--site", default="", help="your own site: its exact numbers")
    how_many.add_argument("--fields", action="store_true", help="list the fields and their values")
    add_tables(command)
    add_receiving(command)
    life_commands.add(command)
    return top


# What a use is said to be, as the API's fields have it; and what may be said several times.
USES = ("commercial", "ai_training", "methods", "genetic", "clinical_care", "public_crowd", "genetic_linkage", "recontact")
SAID = {
    "diseases": ("--disease", "a disease of the purpose, by its MONDO id"),
    "team_countries": ("--team-country", "the country of another member of the team, two capital letters"),
    "promises": ("--promise", "what you commit to: IRB, COL, PUB, RTN or SCC"),
}


def add_tables(command: Callable[[str, Callable[[Command], int]], argparse.ArgumentParser]) -> None:
    """The contributor's commands for clinical tables."""
    how, take, give = command("map", Command.map), command("table", Command.table), command("clinical", Command.clinical)
    how.add_argument("file", help="JSON: docs/how-to/import-clinical-tables.md")
    how.add_argument("--name", required=True)
    take.add_argument("file", help="CSV in UTF-8")
    take.add_argument("--mapping", required=True, help="name of a mapping that was saved")
    take.add_argument("--apply", action="store_true", help="write; without, it is a dry run")
    take.add_argument("--cut", action="store_true", help="send only the columns that the mapping reads: the others never leave this desk")
    for sub in (how, take, give):
        sub.add_argument("--dataset", required=True)
    for sub in (how, take):
        sub.add_argument("--site", required=True)
    give.add_argument("--out", default=".")


def add_receiving(command: Callable[[str, Callable[[Command], int]], argparse.ArgumentParser]) -> None:
    """The researcher's commands."""
    ask = command("request", Command.request)
    ask.add_argument("--look", metavar="REQUEST")
    ask.add_argument("--sign", metavar="REQUEST", help="show the agreement of an approved request; with --accept, sign it")
    ask.add_argument("--accept", action="store_true")
    for name in ("dataset", "title", "purpose", "identity"):
        ask.add_argument(f"--{name}")
    ask.add_argument("--abstract", default="")
    ask.add_argument("--months", type=int, default=12)
    for name in USES:
        ask.add_argument(f"--{name.replace('_', '-')}", action="store_true")
    for name, (option, text) in SAID.items():
        ask.add_argument(option, dest=name, action="append", default=[], help=text)
    get = command("download", Command.download)
    which = get.add_mutually_exclusive_group(required=True)
    which.add_argument("--package")
    which.add_argument("--entitlement")
    get.add_argument("--release", help="with --entitlement: this release instead of the newest")
    get.add_argument("--identity", required=True, help="the age identity file whose public key the request named")
    get.add_argument("--out", default=".")
    get.add_argument("--keep", action="store_true", help="keep the encrypted file too")
    prove = command("verify", Command.verify)
    prove.add_argument("folder")
    prove.add_argument("--key", help="the registry's signing key, base64 (else: asked of the registry)")
    leave = command("withdraw-ack", Command.withdraw_ack)
    leave.add_argument("notice", nargs="?")
    leave.add_argument("--deleted", action="store_true", help="I deleted what the notice names")
    leave.add_argument("--statement", default="", help="what was deleted, and where")
    leave.add_argument("--all", action="store_true", help="show acknowledged notices too")


def assignment(text: str) -> str:
    if "=" not in text:
        raise argparse.ArgumentTypeError("write name=value")
    return text


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    command = Command(parser().parse_args(argv))
    try:
        return int(command.args.does(command))
    except ClientError as error:
        if command.args.json:
            print(json.dumps({"error": {"code": error.code, "reason": error.reason, "advice": error.advice, "errors": getattr(error, "errors", ())}}))
        else:
            command.err.print(f"{error.code}: {error.reason} {error.advice}".strip(), highlight=False, markup=False)
        return 2 if isinstance(error, Usage) else 3 if isinstance(error, Unreachable) else 1
    except FileNotFoundError:
        command.err.print("There is no such file or folder.")
        return 2
    except KeyboardInterrupt:
        command.err.print("Stopped. What arrived is kept: run it again to go on.")
        return 130
    finally:
        if command.line:
            command.line.close()
