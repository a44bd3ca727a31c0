-- The frame of every transaction. READ COMMITTED: rows are locked before they are judged.

-- name: begin
BEGIN;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;
