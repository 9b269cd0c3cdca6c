-- The index of one tenant's history. It may be thrown away at any time: all of
-- it is in the bucket. When this file changes, schemaVersion must too.

-- Names are few and builds many, so a build has numbers for them. Rows of names
-- and series are only ever added, which lets readers keep them in memory.
CREATE TABLE names (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

-- A series is one combination of what lists are filtered by and many builds
-- share. The nodeset and the flags are as a rule those of the job, and the ref of
-- a branch that of the branch, so they make few series more. Whatever the filter,
-- it comes down to a set of series; result is the name '' while builds have not
-- ended, and 'LOST' of those that were interrupted.
CREATE TABLE series (
  id       INTEGER PRIMARY KEY,
  service  INTEGER NOT NULL REFERENCES names,
  job      INTEGER NOT NULL REFERENCES names,
  project  INTEGER NOT NULL REFERENCES names,
  branch   INTEGER NOT NULL REFERENCES names,
  pipeline INTEGER NOT NULL REFERENCES names,
  result   INTEGER NOT NULL REFERENCES names,
  nodeset  INTEGER NOT NULL, -- 0: none
  head     INTEGER NOT NULL, -- the ref, if it is that of a branch; else 0
  voting   INTEGER NOT NULL,
  held     INTEGER NOT NULL,
  final    INTEGER NOT NULL,
  UNIQUE (service, job, project, branch, pipeline, result, nodeset, head, voting, held, final)
) STRICT;

CREATE TABLE builds (
  id       INTEGER PRIMARY KEY, -- of no meaning; (start, uuid) is the order of builds
  start    INTEGER NOT NULL,    -- seconds since 1970
  uuid     BLOB NOT NULL UNIQUE,
  series   INTEGER NOT NULL REFERENCES series,
  service  INTEGER NOT NULL,    -- that of the series, and job too, for their indexes
  job      INTEGER NOT NULL,
  buildset BLOB NOT NULL,
  change   INTEGER NOT NULL,
  ended    INTEGER NOT NULL,    -- seconds since 1970, 0: not yet
  patchset TEXT NOT NULL,
  ref      TEXT NOT NULL,
  newrev   TEXT NOT NULL,
  -- What a list shows and never filters by.
  expires  INTEGER NOT NULL,    -- seconds since 1970, 0: never
  sealed   INTEGER NOT NULL,    -- artifacts
  public   INTEGER NOT NULL,    -- artifacts
  bytes    INTEGER NOT NULL,    -- of all artifacts, as stored
  oldrev   TEXT NOT NULL,
  ref_url  TEXT NOT NULL,
  event_id TEXT NOT NULL,
  error_detail   TEXT NOT NULL,
  keyring_commit TEXT NOT NULL,
  keyring_url    TEXT NOT NULL,
  publisher      TEXT NOT NULL,
  source   INTEGER NOT NULL,    -- of an imported build: the number of its source's name; 0: it was published
  -- What marks say: seconds since 1970, 0: there is none. An interrupted build
  -- has its partial artifacts counted above; one that has ended is not one.
  interrupted    INTEGER NOT NULL DEFAULT 0,
  kept           INTEGER NOT NULL DEFAULT 0,
  expired        INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Every index is in the order of builds and holds all that choosing a page's
-- rows needs, so that no page costs a sort and only its own rows are read.
CREATE INDEX builds_by_start    ON builds (start, uuid, series);
CREATE INDEX builds_by_series   ON builds (series, start, uuid);
CREATE INDEX builds_by_service  ON builds (service, start, uuid, series);
CREATE INDEX builds_by_job      ON builds (job, start, uuid, series);
CREATE INDEX builds_by_buildset ON builds (buildset, start, uuid, series);
CREATE INDEX builds_by_change   ON builds (change, start, uuid, series) WHERE change > 0;
CREATE INDEX builds_by_ref      ON builds (ref, start, uuid, series)    WHERE ref <> '';
CREATE INDEX builds_by_newrev   ON builds (newrev, start, uuid, series) WHERE newrev <> '';
-- These are in the order of their ends.
CREATE INDEX builds_by_end      ON builds (ended, start, uuid, series)      WHERE ended > 0;
CREATE INDEX builds_by_job_end  ON builds (job, ended, start, uuid, series) WHERE ended > 0;

-- The sums of buildsets, a row for each ref that their builds have, as a rule
-- one. A buildset stands where its first build does.
CREATE TABLE buildsets (
  id       INTEGER PRIMARY KEY, -- of no meaning
  start    INTEGER NOT NULL,    -- of the first build
  uuid     BLOB NOT NULL,
  nth      INTEGER NOT NULL,    -- refs in the order of their first use, from 0
  series   INTEGER NOT NULL REFERENCES series, -- service and job are ''; result is '' while open
  change   INTEGER NOT NULL,
  -- While builds are open, it says of the last to begin when that was; 0: none is.
  -- From a time on they are lost, of which nobody writes: see Index.cutoff.
  open     INTEGER NOT NULL,
  failed   INTEGER NOT NULL,    -- whether it has, or will have, if open builds are lost
  ended    INTEGER NOT NULL,    -- of the last build to end, 0: none has
  patchset TEXT NOT NULL,
  ref      TEXT NOT NULL,
  oldrev   TEXT NOT NULL,
  newrev   TEXT NOT NULL,
  ref_url  TEXT NOT NULL,
  event_id TEXT NOT NULL,
  UNIQUE (uuid, nth)
) STRICT;

CREATE INDEX buildsets_by_start  ON buildsets (start, uuid, series, patchset);
CREATE INDEX buildsets_by_series ON buildsets (series, start, uuid);
CREATE INDEX buildsets_by_change ON buildsets (change, start, uuid, series) WHERE change > 0;
CREATE INDEX buildsets_by_ref    ON buildsets (ref, start, uuid, series)    WHERE ref <> '';
CREATE INDEX buildsets_by_newrev ON buildsets (newrev, start, uuid, series) WHERE newrev <> '';
CREATE INDEX buildsets_open      ON buildsets (open, start, uuid, series) WHERE open > 0;

-- How many builds that have ended began on each day, by service and by job.
CREATE TABLE days (
  kind    TEXT NOT NULL,    -- service or job
  name    INTEGER NOT NULL REFERENCES names,
  day     INTEGER NOT NULL, -- days since 1970
  result  INTEGER NOT NULL REFERENCES names,
  builds  INTEGER NOT NULL,
  seconds INTEGER NOT NULL, -- that they took, in sum
  PRIMARY KEY (kind, name, day, result)
) STRICT, WITHOUT ROWID;

-- A sheet lists the builds that began on one day; see sheets.go.
CREATE TABLE sheets (
  day     INTEGER PRIMARY KEY,     -- since 1970
  changed INTEGER NOT NULL UNIQUE, -- a number that rises with each change of any sheet
  entries BLOB NOT NULL
) STRICT;

-- The records as stored, apart from the rows that lists read.
CREATE TABLE records (
  build     INTEGER PRIMARY KEY REFERENCES builds,
  record    BLOB NOT NULL,
  signature BLOB NOT NULL -- empty: none
) STRICT;

-- The marks beside the records.
CREATE TABLE marks (
  build  INTEGER NOT NULL REFERENCES builds,
  kind   TEXT NOT NULL,    -- the column above that it sets
  stored INTEGER NOT NULL, -- when, by the store's clock, in milliseconds since 1970; 0: not known
  mark   BLOB NOT NULL,    -- of an interrupted build; else empty
  PRIMARY KEY (build, kind)
) STRICT, WITHOUT ROWID;

-- One row: whose records these are, and whether a sync of all of the bucket has
-- ended well. Until then old builds may be missing, whatever is there.
CREATE TABLE tenant (
  name  TEXT NOT NULL,
  whole INTEGER NOT NULL DEFAULT 0
) STRICT;
