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

/** Statements that move bodies, by name, like those of DERIVED_SQL. */
export const PACKING_SQL: Readonly<Record<string, string>> = {
  // NULL as the bytes: as they are. What is not to be kept any more may have gone since the body and its dictionary were read; and what is a dictionary
  // stays what it was when it became one.
  pack: `INSERT OR IGNORE INTO packed (body, dictionary, gzip, bytes) SELECT b.id, v.dictionary, v.gzip, coalesce(v.bytes, f.bytes)
    FROM (SELECT ? AS body, ? AS dictionary, ? AS of_gzip, ? AS gzip, ? AS bytes) v JOIN body b ON b.id = v.body LEFT JOIN body_fresh f ON f.body = b.id
    WHERE b.coding IN ('identity', 'zstd') AND coalesce(v.bytes, f.bytes) IS NOT NULL
    AND (v.dictionary IS NULL AND v.gzip = 0 OR NOT EXISTS (SELECT 1 FROM packed p WHERE p.dictionary = b.id))
    AND (v.dictionary IS NULL OR EXISTS (SELECT 1 FROM body d LEFT JOIN packed p ON p.body = d.id
      WHERE d.id = v.dictionary AND p.dictionary IS NULL AND ifnull(p.gzip, 0) = v.of_gzip))`,
};
