/*
 * The SQL of what people add to a capture, and of what the primary's own log says; append only, like schema.ts. Neither is derived: redecode leaves it.
 */

/** Characters of a note. */
export const NOTE_MAX = 4096;

/** ISO 8601 in UTC with milliseconds, of a column of milliseconds. */
const iso = (column: string): string => `strftime('%Y-%m-%dT%H:%M:%fZ', ${column} / 1000.0, 'unixepoch')`;

export const NOTES = `
-- What somebody noted. subject: run or exchange. A note of a run is kept by its first exchange, for runs may be numbered anew by redecode.
CREATE TABLE note (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  subject TEXT NOT NULL,
  exchange INTEGER NOT NULL,
  at REAL NOT NULL,
  mark INTEGER NOT NULL,
  text TEXT NOT NULL
) STRICT;
CREATE INDEX note_exchange ON note (exchange);

CREATE VIEW v_note AS
SELECT t.id, m.run, CASE t.subject WHEN 'exchange' THEN t.exchange END AS exchange, ${iso('t.at')} AS at, t.mark, t.text
FROM note t LEFT JOIN run_exchange m ON m.exchange = t.exchange;

-- What the primary's access log says of an exchange. took_ms: from the request's head to the answer's end, there. borrow_ms: how long a JRuby instance
-- was held for it, NULL when none was, or the log does not say. offset_ms: the primary's clock ahead of ours, as estimated.
CREATE TABLE primary_time (
  exchange INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  took_ms REAL NOT NULL,
  borrow_ms REAL,
  offset_ms REAL NOT NULL
) STRICT;

CREATE VIEW v_primary_time AS
SELECT p.exchange, m.run, ${iso('p.at')} AS at, p.took_ms, p.borrow_ms, p.took_ms - p.borrow_ms AS other_ms, p.offset_ms
FROM primary_time p LEFT JOIN run_exchange m ON m.exchange = p.exchange;
`;
