import { LIST_NAMES, LIST_TABLES } from './list-schema.ts';

/*
 * The SQL of full-text indexes that do not keep how long each text is; append only, like schema.ts. Who searches reads the texts that are found anyway, for
 * their snippets, and counts then. The triggers that keep the indexes are those of before.
 */

/** What of a column goes into an index. */
const INDEXED_CHARS = 16_384;

function withoutSizes(table: string, content: string, key: string, columns: readonly string[]): string {
  const names = columns.join(', ');
  return `
DROP TABLE ${table}_fts;
CREATE VIRTUAL TABLE ${table}_fts USING fts5(${names}, content = '${content}', content_rowid = '${key}', columnsize = 0,
  tokenize = 'unicode61 remove_diacritics 2');
INSERT INTO ${table}_fts (rowid, ${names}) SELECT ${key}, ${columns.map(column => `substr(${column}, 1, ${INDEXED_CHARS})`).join(', ')} FROM ${content};
`;
}

const lists = LIST_NAMES.filter(name => LIST_TABLES[name].text.length > 0);

/** The tables of the indexes. */
export const FULL_TEXT_TABLES: readonly string[] = [...lists, 'body_text'].map(name => `${name}_fts`);

export const FULL_TEXT = [
  ...lists.map(name => withoutSizes(name, `${name}_text`, 'id', LIST_TABLES[name].text)),
  withoutSizes('body_text', 'body_text', 'body', ['text']),
].join('');
