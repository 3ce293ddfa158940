import type { Database, Statement } from 'better-sqlite3';
import type { DecodedStore } from './decoded-shapes.ts';

/**
 * Where contents of files are, by their checksums. The capture has no index for it, which the writer would have to keep for a question that hardly
 * anybody asks: who asks reads all rows once, and remembers the first one of each checksum in a table of its own.
 */
export function createContentPlaces(db: Database): DecodedStore['content'] {
  let statements: { find: Statement; there: Statement; fill: Statement[] } | null = null;
  /** Of the file, when its rows were read. */
  let version = -1;

  function prepared(): NonNullable<typeof statements> {
    db.exec(
      `CREATE TEMP TABLE IF NOT EXISTS content_place (type TEXT, value TEXT, exchange INTEGER, side TEXT, PRIMARY KEY (type, value)) WITHOUT ROWID`,
    );
    const fill = (type: string, value: string, condition: string): Statement =>
      db.prepare(`INSERT OR IGNORE INTO content_place SELECT ${type}, lower(${value}), exchange, side FROM file_content
        WHERE complete = 1 AND ${condition} ORDER BY exchange`);
    return {
      find: db.prepare('SELECT exchange, side FROM content_place WHERE type = ? AND value = ?'),
      there: db.prepare('SELECT 1 FROM file_content WHERE exchange = ? AND side = ?'),
      fill: [
        fill("'sha256'", 'sha256', '1'),
        fill("'md5'", 'md5', '1'),
        fill('lower(promised_type)', 'promised', "verdict = 'match'"),
      ],
    };
  }

  return (type, value) => {
    statements ??= prepared();
    const { find, there, fill } = statements;
    const look = (): ReturnType<DecodedStore['content']> => {
      const found = find.get(type.toLowerCase(), value.toLowerCase()) as
        | NonNullable<ReturnType<DecodedStore['content']>>
        | undefined;
      return found !== undefined && there.get(found.exchange, found.side) !== undefined ? found : null;
    };
    const known = look();
    const now = Number(db.pragma('data_version', { simple: true }));
    if (known !== null || now === version) return known;
    version = now;
    db.exec('DELETE FROM content_place');
    for (const statement of fill) statement.run();
    return look();
  };
}
