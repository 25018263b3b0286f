"""`make bench-webhooks`: what webhooks cost the end of a job, how many are sent a second, and how soon they arrive."""
