BEGIN TRANSACTION;
CREATE TABLE brands(
  root    BLOB PRIMARY KEY,
  name    TEXT NOT NULL,
  card    TEXT NOT NULL,       -- as it was received
  added   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE candidates(segment INTEGER PRIMARY KEY);
CREATE TABLE chunks(
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  cid     BLOB NOT NULL UNIQUE,
  segment INTEGER NOT NULL REFERENCES segments(id),
  off     INTEGER NOT NULL,
  sealed  INTEGER NOT NULL,    -- bytes in the segment
  plain   INTEGER NOT NULL,    -- bytes of the file
  coding  INTEGER NOT NULL,    -- 0 as it is, 1 zstd
  key     BLOB NOT NULL,
  refs    INTEGER NOT NULL
);
CREATE TABLE custodians(
  device  BLOB PRIMARY KEY,
  name    TEXT NOT NULL,
  log_key BLOB NOT NULL,       -- signs its log
  generation INTEGER NOT NULL,
  appointed INTEGER NOT NULL   -- Unix seconds; 0: it has not been told yet
) WITHOUT ROWID;
CREATE TABLE deletions(
  keeper INTEGER NOT NULL REFERENCES keepers(id),
  shard  BLOB NOT NULL,
  PRIMARY KEY(keeper, shard)
) WITHOUT ROWID;
CREATE TABLE granted(
  grant_hash BLOB NOT NULL REFERENCES grants(hash),
  file    BLOB NOT NULL,
  version INTEGER NOT NULL,
  path    BLOB NOT NULL,
  parts   BLOB NOT NULL,
  PRIMARY KEY(grant_hash, file, version)
) WITHOUT ROWID;
CREATE TABLE grants(
  hash    BLOB PRIMARY KEY,
  id      BLOB NOT NULL UNIQUE,
  doc     BLOB NOT NULL,       -- signed
  seats   BLOB NOT NULL,       -- custodians' devices, 32 bytes each
  brand   BLOB NOT NULL REFERENCES brands(root),
  ticket  TEXT NOT NULL,       -- the newest
  revocation BLOB NOT NULL,    -- signed; empty: not revoked
  made    INTEGER NOT NULL,
  released INTEGER NOT NULL    -- 1: the chunks are held no longer
) WITHOUT ROWID;
CREATE TABLE heads(
  device  BLOB PRIMARY KEY,
  head    BLOB NOT NULL        -- the newest, signed
) WITHOUT ROWID;
CREATE TABLE keepers(
  id      INTEGER PRIMARY KEY,
  device  BLOB NOT NULL UNIQUE
);
CREATE TABLE logs(
  device  BLOB NOT NULL,
  seq     INTEGER NOT NULL,
  entry   BLOB NOT NULL,
  PRIMARY KEY(device, seq)
) WITHOUT ROWID;
CREATE TABLE moves(
  keeper INTEGER NOT NULL REFERENCES keepers(id),
  shard  BLOB NOT NULL,
  PRIMARY KEY(keeper, shard)
) WITHOUT ROWID;
CREATE TABLE names(
  path    BLOB PRIMARY KEY,
  file    BLOB NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  stamp   BLOB NOT NULL        -- what that version consists of
) WITHOUT ROWID;
CREATE TABLE packages(
  grant_hash BLOB NOT NULL REFERENCES grants(hash),
  seq     INTEGER NOT NULL,
  doc     BLOB NOT NULL,
  PRIMARY KEY(grant_hash, seq)
) WITHOUT ROWID;
CREATE TABLE segments(
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  k         INTEGER NOT NULL,
  n         INTEGER NOT NULL,
  shard_len INTEGER NOT NULL,
  data_len  INTEGER NOT NULL,
  state     INTEGER NOT NULL,  -- 0 being written, 1 ready
  made      INTEGER NOT NULL
);
CREATE TABLE shards(
  segment INTEGER NOT NULL REFERENCES segments(id),
  idx     INTEGER NOT NULL,
  keeper  INTEGER NOT NULL REFERENCES keepers(id),
  shard   BLOB NOT NULL,
  root    BLOB NOT NULL,
  state   INTEGER NOT NULL,    -- 0 owed, 1 there, 2 lost or damaged
  PRIMARY KEY(segment, idx)
) WITHOUT ROWID;
CREATE TABLE told(
  grant_hash BLOB NOT NULL REFERENCES grants(hash),
  device  BLOB NOT NULL,
  PRIMARY KEY(grant_hash, device)
) WITHOUT ROWID;
CREATE TABLE versions(
  parent  BLOB NOT NULL,     -- folder, '' for the top
  name    BLOB NOT NULL,     -- last part of the path
  kind    INTEGER NOT NULL,  -- 1 file, 2 folder, 3 symlink
  size    INTEGER NOT NULL,
  mode    INTEGER NOT NULL,
  mtime   INTEGER NOT NULL,  -- nanoseconds since 1970
  target  BLOB NOT NULL,     -- of a symlink
  ctime   INTEGER NOT NULL,  -- with inode and device: how the source looked,
  inode   INTEGER NOT NULL,  -- so that an unchanged file is not read again
  device  INTEGER NOT NULL,
  kept    INTEGER NOT NULL,  -- nanoseconds since 1970
  torn    INTEGER NOT NULL,  -- 1: changed while it was read
  parts   BLOB NOT NULL,     -- chunk ids and holes in order, see parts.go
  PRIMARY KEY(parent, name)
) WITHOUT ROWID;
CREATE INDEX segments_writing ON segments(state) WHERE state = 0;
CREATE INDEX shards_debt ON shards(segment) WHERE state <> 1;
CREATE INDEX shards_keeper ON shards(keeper);
CREATE INDEX chunks_segment ON chunks(segment, refs);
COMMIT;
PRAGMA user_version = 2;
