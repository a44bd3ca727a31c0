-- Jobs, in the schema of the job engine (see job_schema).

-- name: defer_job
SELECT defer_job($1, $2, $3, $4, $5);

-- name: jobs
SELECT job.id, task_name, args, status::text, attempts, lock, queueing_lock,
       extract(epoch FROM scheduled_at)::double precision, extract(epoch FROM last.at)::double precision
FROM procrastinate.procrastinate_jobs AS job
LEFT JOIN LATERAL (
    SELECT at FROM procrastinate.procrastinate_events
    WHERE job_id = job.id AND type <> 'scheduled' ORDER BY procrastinate_events.id DESC LIMIT 1
) AS last ON true
WHERE job.id > $1 AND ($2::text IS NULL OR status = $2::text::procrastinate.procrastinate_job_status)
ORDER BY job.id
LIMIT $3;

-- name: lock_job
SELECT status::text FROM procrastinate.procrastinate_jobs WHERE id = $1 FOR UPDATE;

-- name: retry_job
SELECT procrastinate.procrastinate_retry_job_v2($1, to_timestamp($2), NULL, NULL, NULL);

-- name: cancel_job
SELECT procrastinate.procrastinate_cancel_job_v1($1, false, false);

-- name: stalled_jobs
-- Jobs that are being done by a worker that is gone: it left, or has given no sign of life for so many seconds. The last
-- column tells that another one of the same queueing lock waits, in whose place it cannot come back.
SELECT job.id, job.attempts, job.queueing_lock IS NOT NULL AND EXISTS (
           SELECT FROM procrastinate.procrastinate_jobs AS other
           WHERE other.queueing_lock = job.queueing_lock AND other.status = 'todo'
       )
FROM procrastinate.procrastinate_jobs AS job
LEFT JOIN procrastinate.procrastinate_workers AS worker ON worker.id = job.worker_id
WHERE job.status = 'doing' AND (worker.id IS NULL OR worker.last_heartbeat < now() - make_interval(secs => $1))
ORDER BY job.id
FOR UPDATE OF job SKIP LOCKED;

-- name: fail_job
SELECT procrastinate.procrastinate_finish_job_v1($1, 'failed', false);

-- name: drop_job
SELECT procrastinate.procrastinate_finish_job_v1($1, 'aborted', true);

-- name: forget_jobs
DELETE FROM procrastinate.procrastinate_jobs
WHERE status NOT IN ('todo', 'doing')
  AND NOT EXISTS (
      SELECT FROM procrastinate.procrastinate_events
      WHERE job_id = procrastinate_jobs.id AND at >= to_timestamp($1)
  )
RETURNING id;
