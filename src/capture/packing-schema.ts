/*
 * The SQL of where the bytes of bodies are; append only, like schema.ts. The writer puts them into `body_fresh`, which is emptied again: once a body is
 * decoded, it moves to `packed`, where nothing is ever rewritten, and so no page is left half empty. A body that is much like an earlier one of its
 * kind is zstd with that one as the dictionary; its row in `body` then says `packed`. A dictionary is a body that has none itself, and stays as
 * long as another one needs it. gzip: what is packed is the content of a gzip body (gzip-form.ts). Captures of older versions have bytes in `body`.
 */
export const PACKING = `
DROP INDEX body_content;
CREATE INDEX body_content ON body (substr(sha256, 1, 8)) WHERE sha256 IS NOT NULL;
CREATE TABLE body_fresh (body INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE packed (body INTEGER PRIMARY KEY, dictionary INTEGER, gzip INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
CREATE INDEX packed_dictionary ON packed (dictionary) WHERE dictionary IS NOT NULL;
CREATE TRIGGER packed_in AFTER INSERT ON packed BEGIN
  UPDATE body SET coding = CASE WHEN new.dictionary IS NOT NULL OR new.gzip THEN 'packed' WHEN length(new.bytes) < stored THEN 'zstd' ELSE coding END,
    stored = length(new.bytes), bytes = NULL WHERE id = new.body;
  DELETE FROM body_fresh WHERE body = new.body;
END;
CREATE TRIGGER body_gone AFTER DELETE ON body BEGIN
  DELETE FROM body_fresh WHERE body = old.id;
  DELETE FROM packed WHERE body = old.id;
END;
`;

/**
 * Bodies that were packed with the same dictionary are put together once there are some of them: one zstd of all, one behind the other, in `block`, and
 * where each is in `blocked`. Ids of blocks are not given again, for readers remember their content. A block goes with the last of its bodies.
 */
export const BLOCKS = `
CREATE TABLE block (id INTEGER PRIMARY KEY AUTOINCREMENT, dictionary INTEGER NOT NULL, bodies INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
CREATE INDEX block_dictionary ON block (dictionary);
CREATE TABLE blocked (body INTEGER PRIMARY KEY, block INTEGER NOT NULL, at INTEGER NOT NULL, length INTEGER NOT NULL, gzip INTEGER NOT NULL) STRICT;
CREATE VIEW block_in AS SELECT dictionary, bytes, NULL AS members FROM block;
CREATE TRIGGER block_in INSTEAD OF INSERT ON block_in WHEN json_array_length(new.members) = (SELECT count(*) FROM json_each(new.members) j
  JOIN packed p ON p.body = json_extract(j.value, '$[0]') AND p.dictionary = new.dictionary)
BEGIN
  INSERT INTO block (dictionary, bodies, bytes) VALUES (new.dictionary, json_array_length(new.members), new.bytes);
  INSERT INTO blocked (body, block, at, length, gzip) SELECT json_extract(value, '$[0]'), (SELECT max(id) FROM block), json_extract(value, '$[1]'),
    json_extract(value, '$[2]'), json_extract(value, '$[3]') FROM json_each(new.members);
  DELETE FROM packed WHERE body IN (SELECT json_extract(value, '$[0]') FROM json_each(new.members));
END;
CREATE TRIGGER blocked_gone AFTER DELETE ON body WHEN old.coding = 'packed' BEGIN
  UPDATE block SET bodies = bodies - 1 WHERE id = (SELECT block FROM blocked WHERE body = old.id);
  DELETE FROM block WHERE id = (SELECT block FROM blocked WHERE body = old.id) AND bodies = 0;
  DELETE FROM blocked WHERE body = old.id;
END;
`;

/** Statements that move bodies, by name, like those of DERIVED_SQL. */
export const PACKING_SQL: Readonly<Record<string, string>> = {
  // NULL as the bytes: as they are. What is not to be kept any more may have gone since the body and its dictionary were read; and what is a dictionary
  // stays what it was when it became one.
  pack: `INSERT OR IGNORE INTO packed (body, dictionary, gzip, bytes) SELECT b.id, v.dictionary, v.gzip, coalesce(v.bytes, f.bytes)
    FROM (SELECT ? AS body, ? AS dictionary, ? AS of_gzip, ? AS gzip, ? AS bytes) v JOIN body b ON b.id = v.body LEFT JOIN body_fresh f ON f.body = b.id
    WHERE b.coding IN ('identity', 'zstd') AND coalesce(v.bytes, f.bytes) IS NOT NULL
    AND (v.dictionary IS NULL AND v.gzip = 0 OR NOT EXISTS (SELECT 1 FROM packed WHERE dictionary = b.id UNION ALL SELECT 1 FROM block WHERE dictionary = b.id))
    AND (v.dictionary IS NULL OR EXISTS (SELECT 1 FROM body d LEFT JOIN packed p ON p.body = d.id
      WHERE d.id = v.dictionary AND p.dictionary IS NULL AND ifnull(p.gzip, 0) = v.of_gzip AND d.id NOT IN (SELECT body FROM blocked)))`,
  // members: JSON, of each body its id, where it begins, its length, and whether it is the content of gzip
  block: 'INSERT INTO block_in (dictionary, bytes, members) VALUES (?, ?, ?)',
};
