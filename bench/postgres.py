"""PostgreSQL as a peer: a fresh cluster on free ports, and double-entry books kept in it in two ways (bench/README.md)."""
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time

from measure import cpu_seconds, free_port, run

BATCH = 8000
BATCHES = 64

# Tuned in the peer's favour: no foreign keys and no index besides the primary keys (polis keeps seven more), room in the pages of
# accounts for updates in place, memory for all of it, and no checkpoint during a run.
SETTINGS = {
    "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": 200, "shared_buffers": "2GB",
    "wal_buffers": "64MB", "max_wal_size": "32GB", "min_wal_size": "1GB", "checkpoint_timeout": "30min", "work_mem": "64MB", "jit": "off",
}

SCHEMA = """
CREATE TABLE accounts (id bigint PRIMARY KEY, ledger int NOT NULL, code smallint NOT NULL, within_credits boolean NOT NULL DEFAULT false,
  debits bigint NOT NULL DEFAULT 0, credits bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50);
CREATE TABLE transfers (id bigint PRIMARY KEY, debit_account bigint NOT NULL, credit_account bigint NOT NULL, amount bigint NOT NULL,
  ledger int NOT NULL, code smallint NOT NULL, booked timestamptz NOT NULL DEFAULT now());
CREATE TABLE batches (workload text, number int, debits bigint[], credits bigint[], amounts bigint[], PRIMARY KEY (workload, number));
ALTER TABLE batches ALTER debits SET STORAGE EXTERNAL, ALTER credits SET STORAGE EXTERNAL, ALTER amounts SET STORAGE EXTERNAL;

-- Books many transfers at once: inserts them, adds up what each account gets, updates each account once, checks that all exist and
-- that none exceeds its limit. Writers queue for the accounts only (in any other order their row locks would deadlock); the inserts
-- of several run side by side.
CREATE FUNCTION book(first_id bigint, debit_ids bigint[], credit_ids bigint[], amounts bigint[]) RETURNS int LANGUAGE plpgsql AS $$
DECLARE expected bigint; found bigint; exceeded boolean;
BEGIN
  INSERT INTO transfers (id, debit_account, credit_account, amount, ledger, code)
    SELECT first_id + i, d, c, a, 1, 1 FROM unnest(debit_ids, credit_ids, amounts) WITH ORDINALITY AS t(d, c, a, i);
  PERFORM pg_advisory_xact_lock(1);
  WITH sums AS MATERIALIZED (
    SELECT id, sum(debit)::bigint AS debit, sum(credit)::bigint AS credit FROM (
      SELECT unnest(debit_ids) AS id, unnest(amounts) AS debit, 0::bigint AS credit
      UNION ALL SELECT unnest(credit_ids), 0, unnest(amounts)) AS sides GROUP BY id),
  updated AS (
    UPDATE accounts SET debits = debits + debit, credits = credits + credit FROM sums WHERE accounts.id = sums.id
    RETURNING within_credits AND debits > credits AS exceeds)
  SELECT (SELECT count(*) FROM sums), count(*), bool_or(exceeds) INTO expected, found, exceeded FROM updated;
  IF found <> expected THEN RAISE EXCEPTION 'an account does not exist'; END IF;
  IF exceeded THEN RAISE EXCEPTION 'exceeds credits'; END IF;
  RETURN found;
END $$;
"""

# Which account a side touches, in SQL and in pgbench's own expressions.
ACCOUNT = {
    "uniform": ("1 + floor(random() * 10000)", "\\set {0} random(1, 10000)\n"),
    "hot": ("1 + floor(random() * 2)", "\\set {0} random(1, 2)\n"),
    "80/20": ("CASE WHEN random() < 0.8 THEN 1 + floor(random() * 2000) ELSE 2001 + floor(random() * 8000) END",
              "\\set share random(1, 5)\n\\set {0} case when :share < 5 then random(1, 2000) else random(2001, 10000) end\n"),
}

# One transaction a transfer. The insert comes first, so that the accounts' rows are locked for as short as can be; the lower account
# first, so that nothing deadlocks.
TRANSACTION = """\\set id random(1, 4611686018427387904)
\\set amount random(1, 1000)
{accounts}\\set credit case when :credit = :debit then 1 + :debit % 2 else :credit end
\\set low least(:debit, :credit)
\\set high greatest(:debit, :credit)
\\set low_debits case when :debit = :low then :amount else 0 end
\\set low_credits :amount - :low_debits
BEGIN;
INSERT INTO transfers (id, debit_account, credit_account, amount, ledger, code) VALUES (:id, :debit, :credit, :amount, 1, 1);
UPDATE accounts SET debits = debits + :low_debits, credits = credits + :low_credits WHERE id = :low;
UPDATE accounts SET debits = debits + :low_credits, credits = credits + :low_debits WHERE id = :high;
COMMIT;
"""

# The batches lie ready in a table, so neither the network nor the parsing of arrays costs the peer anything.
SET_BASED = """\\set first_id random(1, 4611686018427387904)
\\set number random(1, {batches})
SELECT book(:first_id, debits, credits, amounts) FROM batches WHERE workload = '{workload}' AND number = :number;
"""


def programs():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: path != "/usr/lib/postgresql/15/bin")
    if found:
        return found[0]
    if shutil.which("postgres") and shutil.which("initdb"):
        return os.path.dirname(shutil.which("postgres"))
    raise SystemExit("bench: PostgreSQL is not installed (packaging/bench.txt)")


class Postgres:
    """A fresh cluster in a directory of its own; as root it runs as another user, because PostgreSQL refuses root."""

    def __init__(self):
        self.programs = programs()
        self.directory = tempfile.mkdtemp(prefix="polis-bench-postgres-")
        self.user = {}
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            name = "postgres" if "postgres" in names else "nobody"
            self.user = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
            os.chown(self.directory, pwd.getpwnam(name).pw_uid, pwd.getpwnam(name).pw_gid)
        self.data = os.path.join(self.directory, "data")
        self.port = free_port()
        self.process = None

    def __enter__(self):
        try:
            run(f"{self.programs}/initdb", "-D", self.data, "-U", "bench", "-A", "trust", "--locale=C", "-E", "UTF8", cwd=self.directory, **self.user)
            settings = {**SETTINGS, "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.directory}
            words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
            self.log = open(os.path.join(self.directory, "log"), "wb")
            self.process = subprocess.Popen([f"{self.programs}/postgres", "-D", self.data, *words], stdout=self.log, stderr=self.log,
                                            cwd=self.directory, **self.user)
            end = time.monotonic() + 30
            while subprocess.run([f"{self.programs}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode != 0:
                if self.process.poll() is not None or time.monotonic() > end:
                    with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as file:
                        raise SystemExit("bench: PostgreSQL does not start:\n" + file.read()[-2000:])
                time.sleep(0.05)
            self.version = self.sql("SHOW server_version").split()[0]
            self.sql(SCHEMA)
            self.sql("INSERT INTO accounts (id, ledger, code) SELECT i, 1, 1 FROM generate_series(1, 10000) AS i")
            for workload, (account, _) in ACCOUNT.items():
                self.sql(f"""INSERT INTO batches SELECT '{workload}', n, array_agg(d), array_agg(CASE WHEN c = d THEN 1 + d % 2 ELSE c END), array_agg(a)
                  FROM (SELECT n, ({account})::bigint AS d, ({account})::bigint AS c, (1 + floor(random() * 1000))::bigint AS a
                    FROM generate_series(1, {BATCHES}) AS n, generate_series(1, {BATCH}) AS i) AS t GROUP BY n""")
            self.sql("VACUUM ANALYZE; CHECKPOINT")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # fast shutdown
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def sql(self, text):
        words = [f"{self.programs}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench", "postgres"]
        return run(*words, input=text)

    def cpu(self):
        """CPU seconds of the server: the postmaster, its children of now and those that have ended."""
        pid = self.process.pid
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total = cpu_seconds(pid) + (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            for child in file.read().split():
                try:
                    total += cpu_seconds(child)
                except (FileNotFoundError, ProcessLookupError):
                    pass
        return total

    def pgbench(self, script, clients, seconds, transfers_each):
        """Transfers a second, mean latency of a transaction in ms, server CPU-seconds a million transfers."""
        path = os.path.join(self.directory, "script.sql")
        with open(path, "w", encoding="ascii") as file:
            file.write(script)
        before = self.cpu()
        text = run(f"{self.programs}/pgbench", "-n", "-M", "prepared", "-f", path, "-c", str(clients), "-j", "1", "-T", str(seconds),
                   "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench", "postgres", limit_s=seconds + 120)
        done = int(re.search(r"transactions actually processed: (\d+)", text).group(1))
        rate = float(re.search(r"tps = ([\d.]+)", text).group(1)) * transfers_each
        latency_ms = float(re.search(r"latency average = ([\d.]+) ms", text).group(1))
        return {"rate": rate, "latency_ms": latency_ms, "clients": clients, "cpu": (self.cpu() - before) * 1e6 / max(1, done * transfers_each)}

    def best(self, script, client_counts, seconds, transfers_each):
        """The best of several numbers of clients."""
        return max((self.pgbench(script, clients, seconds, transfers_each) for clients in client_counts), key=lambda m: m["rate"])

    def one_transaction_each(self, workload, seconds):
        sides = ACCOUNT[workload][1]
        return self.best(TRANSACTION.format(accounts=sides.format("debit") + sides.format("credit")), (1, 16, 64), seconds, 1)

    def set_based(self, workload, seconds):
        return self.best(SET_BASED.format(batches=BATCHES, workload=workload), (1, 2, 4), seconds, BATCH)

    def index_history(self):
        """The two indexes without which nobody can ask for an account's transfers."""
        self.sql("CREATE INDEX ON transfers (debit_account, booked); CREATE INDEX ON transfers (credit_account, booked); ANALYZE transfers; CHECKPOINT")

    def balanced(self):
        """Debits equal credits and equal what the transfers say: the peer did the work that was measured."""
        return self.sql("SELECT (SELECT sum(debits) = sum(credits) FROM accounts) AND "
                        "(SELECT sum(debits) FROM accounts) = (SELECT sum(amount) FROM transfers)").strip() == "t"
