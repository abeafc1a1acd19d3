BEGIN TRANSACTION;
CREATE TABLE answered (
		owner BLOB NOT NULL,
		request BLOB NOT NULL,
		at    INTEGER NOT NULL,
		release BLOB NOT NULL, -- sealed to the request's one-time key
		PRIMARY KEY (owner, request)
	) STRICT, WITHOUT ROWID;
CREATE TABLE entry (
		owner BLOB NOT NULL,
		seq   INTEGER NOT NULL,
		hash  BLOB NOT NULL,
		head  BLOB NOT NULL, -- of the log with this entry
		raw   BLOB NOT NULL,
		PRIMARY KEY (owner, seq)
	) STRICT, WITHOUT ROWID;
CREATE TABLE evidence (
		owner BLOB NOT NULL,
		seq   INTEGER NOT NULL, -- of the log entry
		grant_hash BLOB NOT NULL,
		request BLOB NOT NULL, -- signed by the brand's device
		release BLOB NOT NULL, -- signed; sealed to the request's one-time key
		PRIMARY KEY (owner, seq)
	) STRICT;
CREATE TABLE head (
		owner BLOB NOT NULL,
		custodian BLOB NOT NULL, -- its log key
		seq   INTEGER NOT NULL,
		head  BLOB NOT NULL, -- two for one number prove that it has two logs
		raw   BLOB NOT NULL, -- signed
		PRIMARY KEY (owner, custodian, seq, head)
	) STRICT, WITHOUT ROWID;
CREATE TABLE newest (
		owner BLOB NOT NULL,
		grant_hash BLOB NOT NULL,
		seq   INTEGER NOT NULL, -- 64 bits, as a signed number
		hash  BLOB NOT NULL,
		PRIMARY KEY (owner, grant_hash)
	) STRICT, WITHOUT ROWID;
CREATE TABLE opened (
		owner BLOB NOT NULL,
		grant_hash BLOB NOT NULL,
		file  BLOB NOT NULL,
		version INTEGER NOT NULL, -- 64 bits, as a signed number
		n     INTEGER NOT NULL,
		PRIMARY KEY (owner, grant_hash, file, version)
	) STRICT, WITHOUT ROWID;
CREATE TABLE owner (
		root      BLOB PRIMARY KEY, -- 32 bytes
		device    BLOB NOT NULL UNIQUE, -- device ID that appointed
		appointed INTEGER NOT NULL, -- the newest appointment's time, Unix seconds
		high      INTEGER NOT NULL, -- custody.Clock
		devices   BLOB NOT NULL,    -- signed device set, or empty
		panel     BLOB NOT NULL,    -- signed panel, or empty
		status    BLOB NOT NULL     -- signed owner status, or empty
	) STRICT, WITHOUT ROWID;
CREATE TABLE revoked (
		owner BLOB NOT NULL,
		grant_hash BLOB NOT NULL,
		raw   BLOB NOT NULL, stray INTEGER NOT NULL DEFAULT 0,
		PRIMARY KEY (owner, grant_hash)
	) STRICT, WITHOUT ROWID;
COMMIT;
PRAGMA user_version = 3;
