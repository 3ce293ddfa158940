/*
 * The SQL of findings; append only, like schema.ts. They are derived when a run has ended and its bodies are decoded, and can be built again.
 */

/** ISO 8601 in UTC with milliseconds, of a column of milliseconds. */
const iso = (column: string): string => `strftime('%Y-%m-%dT%H:%M:%fZ', ${column} / 1000.0, 'unixepoch')`;

export const FINDINGS = `
-- What a rule found. run is NULL for connections that belong to no run: subject is then the agent's address, else the certname.
-- severity: error, warning, info. fix: the setting or the command that mends it. evidence: JSON {exchanges, connections, rows, figures}, ids as bare numbers.
CREATE TABLE finding (
  id INTEGER PRIMARY KEY,
  run INTEGER,
  recording INTEGER NOT NULL,
  rule TEXT NOT NULL,
  severity TEXT NOT NULL,
  subject TEXT NOT NULL,
  at REAL NOT NULL,
  summary TEXT NOT NULL,
  fix TEXT NOT NULL,
  evidence TEXT NOT NULL
) STRICT;
CREATE INDEX finding_run ON finding (run, rule);
CREATE UNIQUE INDEX finding_connection ON finding (rule, recording, subject) WHERE run IS NULL;

-- Rules that could not judge a run, and why.
CREATE TABLE finding_note (run INTEGER NOT NULL, rule TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (run, rule)) STRICT, WITHOUT ROWID;

-- Whether the rules have seen a run as it is; writing it with more exchanges takes the mark away.
ALTER TABLE run ADD COLUMN judged INTEGER NOT NULL DEFAULT 0;
CREATE INDEX run_unjudged ON run (id) WHERE judged = 0 AND "end" IS NOT NULL;

-- A node's own history, newest first.
CREATE INDEX run_certname ON run (certname, id);

CREATE VIEW v_finding AS
SELECT id, run, recording, rule, severity, subject, ${iso('at')} AS at, summary, fix, evidence FROM finding;
`;
