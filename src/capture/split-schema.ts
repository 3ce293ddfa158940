/*
 * The SQL of rows that an exchange, or a body, has one of, and that say nearly the same in each run of a node; append only, like schema.ts. What is the
 * same is in `same`, once, as JSON that begins with the table's code; the rest is in `…_row`, and `report`, `catalog`, … are views that put them
 * together, and take rows apart.
 */

type Type = 'TEXT' | 'INTEGER' | 'REAL' | 'BLOB';

interface Split {
  /** What a row belongs to. */
  key: 'exchange' | 'body';
  code: number;
  /** Columns that differ, with their types, and those that hardly do. */
  own: Readonly<Record<string, Type>>;
  same: Readonly<Record<string, 'TEXT' | 'INTEGER'>>;
}

const integers = <K extends string>(...names: K[]) => Object.fromEntries(names.map(name => [name, 'INTEGER' as const]));
const texts = <K extends string>(...names: K[]) => Object.fromEntries(names.map(name => [name, 'TEXT' as const]));

const SPLIT = {
  decoded_body: {
    code: 1,
    key: 'body',
    own: { exchange: 'INTEGER', bytes: 'INTEGER', sha256: 'BLOB' },
    same: { ...texts('format', 'mime', 'codings'), ...integers('settled') },
  },
  catalog_request: {
    code: 2,
    key: 'exchange',
    own: { transaction_uuid: 'TEXT', job_uuid: 'TEXT', facts_timestamp: 'TEXT' },
    same: {
      ...texts('environment', 'configured_environment', 'checksum_types', 'facts_format', 'facts_name'),
      ...integers('check_environment', 'static_catalog', 'top_level_facts', 'facts'),
    },
  },
  catalog: {
    code: 3,
    key: 'exchange',
    own: { version: 'TEXT', catalog_uuid: 'TEXT' },
    same: {
      ...texts('name', 'code_id', 'environment', 'tags'),
      ...integers('catalog_format', 'resources', 'edges', 'classes', 'metadata'),
    },
  },
  refusal: {
    code: 4,
    key: 'exchange',
    own: {},
    same: {
      ...texts('message', 'issue_kind', 'error', 'file', 'resource', 'node', 'environment'),
      ...integers('status', 'line', 'column'),
    },
  },
  report: {
    code: 5,
    key: 'exchange',
    own: { at: 'REAL', configuration_version: 'TEXT', transaction_uuid: 'TEXT', catalog_uuid: 'TEXT', job_id: 'TEXT' },
    same: {
      ...texts(
        'host',
        'status',
        'kind',
        'cached_catalog_status',
        'environment',
        'puppet_version',
        'code_id',
        'server_used',
        'processors',
      ),
      ...integers('format', 'noop', 'noop_pending', 'corrective_change', 'transaction_completed'),
    },
  },
} as const satisfies Readonly<Record<string, Split>>;

export type SplitName = keyof typeof SPLIT;
const SPLIT_NAMES = Object.keys(SPLIT) as SplitName[];

/** Where the rows of a table of this name are: those of a view are in a table of their own. */
export function rowsIn(table: string): string {
  return table in SPLIT ? `${table}_row` : table;
}

function split(name: SplitName): string {
  const { code, key, own, same }: Split = SPLIT[name];
  const quoted = (names: readonly string[], of = ''): string => names.map(column => `${of}"${column}"`).join(', ');
  const owns = Object.keys(own);
  const all = quoted([key, ...owns, ...Object.keys(same)]);
  const typed = owns.map(column => `, "${column}" ${own[column]}`).join('');
  // numbers are bound as reals
  const given = Object.entries(same).map(([column, type]) =>
    type === 'TEXT' ? `new."${column}"` : `CAST(new."${column}" AS INTEGER)`,
  );
  const cells = `json_array(${[code, ...given].join(', ')})`;
  const shown = [
    ...[key, ...owns].map(column => `r."${column}"`),
    ...Object.keys(same).map((column, i) => `json_extract(s.cells, '$[${i + 1}]') AS "${column}"`),
  ];
  return `
CREATE TABLE ${name}_before AS SELECT ${all} FROM ${name};
DROP TABLE ${name};
CREATE TABLE ${name}_row (${key} INTEGER PRIMARY KEY, same INTEGER NOT NULL${typed}) STRICT;
CREATE VIEW ${name} AS SELECT ${shown.join(', ')} FROM ${name}_row r JOIN same s ON s.id = +r.same;
CREATE TRIGGER ${name}_in INSTEAD OF INSERT ON ${name} BEGIN
  INSERT OR IGNORE INTO same (cells) VALUES (${cells});
  INSERT INTO ${name}_row (${quoted([key, 'same', ...owns])}) SELECT new.${key}, id${owns.map(column => `, new."${column}"`).join('')} FROM same WHERE cells = ${cells};
END;
CREATE TRIGGER ${name}_same_out AFTER DELETE ON ${name}_row BEGIN
  DELETE FROM same WHERE id = old.same AND NOT EXISTS (SELECT 1 FROM ${name}_row WHERE same = old.same);
END;
INSERT INTO ${name} (${all}) SELECT ${all} FROM ${name}_before;
DROP TABLE ${name}_before;
`;
}

export const SPLITS = `
CREATE TABLE same (id INTEGER PRIMARY KEY, cells TEXT NOT NULL UNIQUE) STRICT;
${SPLIT_NAMES.map(split).join('')}`;
