"""Rows of the operators' desk that the constraints must refuse: groups of dead letters, replays, alerts."""

GROUP = """
    INSERT INTO dead_letter_groups
        (id, kind, model, reason, fingerprint, sample, open, total, first_seen_at, last_seen_at)
    VALUES (gen_random_uuid(), 'job', 'tiny', 'x', 'x', '{}', 1, 2, now(), now()) RETURNING id
"""
IMPOSSIBLE_GROUPS = [
    ("open_letters_are_counted", {"open": "-1"}),
    ("open_letters_are_counted", {"open": "3"}),
    ("a_group_is_seen_forwards", {"last_seen_at": "now() - interval '1 day'"}),
    ("a_note_has_an_author", {"note": "'x'", "note_at": "now()"}),
    ("a_note_has_an_author", {"note": "'x'", "note_by": "'x'"}),
    ("a_note_has_an_author", {"known_until": "now()"}),
    ("dead_letter_groups_note_check", {"note": "''", "note_by": "'x'", "note_at": "now()"}),
]

REPLAY = "INSERT INTO replays (scope, created_by) VALUES ('{}', 'x') RETURNING id"
_RUNNING = {"status": "'running'", "started_at": "now()"}
_RAMP = {"ramp": "'{1,2}'", "stage": "0", "stage_seconds": "60"}
IMPOSSIBLE_REPLAYS = [
    ("replays_status_check", {"status": "'done'", "started_at": "now()"}),
    ("replays_pace_check", {"pace": "0"}),
    ("replays_ramp_check", _RAMP | {"ramp": "'{}'"}),
    ("replays_ramp_check", _RAMP | {"ramp": "'{1,0}'"}),
    ("replays_stage_check", _RAMP | {"stage": "-1"}),
    ("replays_stage_seconds_check", _RAMP | {"stage_seconds": "0"}),
    ("a_replay_has_a_pace_or_a_ramp", _RAMP | {"pace": "1"}),
    ("only_ramps_have_stages", {"ramp": "'{1}'"}),
    ("only_ramps_have_stages", {"stage": "0"}),
    ("only_ramps_have_stages", {"stage_began_at": "now()"}),
    ("running_replays_were_started", {"status": "'running'"}),
    ("running_replays_were_started", {"started_at": "now()"}),
    ("ended_replays_have_finished", _RUNNING | {"status": "'finished'"}),
    ("ended_replays_have_finished", {"status": "'canceled'"}),
    ("ended_replays_have_finished", _RUNNING | {"finished_at": "now()"}),
    ("paused_replays_have_a_reason", _RUNNING | {"status": "'paused'"}),
    ("paused_replays_have_a_reason", _RUNNING | {"paused_reason": "'x'"}),
    ("items_are_counted", {"pending": "-1"}),
]

_ITEM = (
    "INSERT INTO replay_items (replay_id, position, letter_id, verdict, state, generation, error)"
    " SELECT id, {} FROM replays"
)
IMPOSSIBLE_DESK_ROWS = [
    ("replay_items_position_check", _ITEM.format("0, id, 'x', 'pending', NULL, NULL")),
    ("replay_items_state_check", _ITEM.format("1, id, 'x', 'lost', NULL, NULL")),
    ("a_pending_item_did_nothing", _ITEM.format("1, id, 'x', 'pending', 2, NULL")),
    ("a_pending_item_did_nothing", _ITEM.format("1, id, 'x', 'pending', NULL, 'x'")),
    ("a_refused_item_made_no_generation", _ITEM.format("1, id, 'x', 'refused', 2, 'x'")),
    (
        "an_alert_is_resolved_after_it_opened",
        "INSERT INTO alerts (kind, subject, data, resolved_at) VALUES ('x', 'x', '{}', now() - interval '1 day')",
    ),
    (
        "dead_letter_hours_opened_check",
        "INSERT INTO dead_letter_hours SELECT id, now(), 0 FROM dead_letter_groups",
    ),
]
