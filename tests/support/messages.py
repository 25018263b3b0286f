"""The bytes of a message as the first relay wrote it."""

from uuid import UUID

JOB_ID = UUID("01993b5c-0000-7000-8000-000000000001")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RENDER_BYTES = (
    b'{"type":"darkroom.render.v1","job_id":"01993b5c-0000-7000-8000-000000000001","generation":2,"model":"tiny",'
    b'"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'
)
