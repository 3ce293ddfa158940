/**
 * Exchanges that went wrong, as `~e` of the filter language and the keys for the next error mean it: few among very many, and the only rows
 * that this index costs the writer anything for. A condition has to be written as here to be found by it.
 */
export const WENT_WRONG = "outcome <> 'answered' OR status >= 500";

export const FILTER_INDEX = `CREATE INDEX exchange_wrong ON exchange (id) WHERE ${WENT_WRONG};`;
