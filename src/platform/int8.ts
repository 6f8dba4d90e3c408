/** Postgres's object id of the type int8, whose values are read as bigint. */
export const int8Oid = 20;
