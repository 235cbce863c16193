"""Results, errors and events become documents, and come back as they were."""

from __future__ import annotations

import json
from dataclasses import dataclass

import jsonschema
import pytest

from assetctl import run
from assetctl.errors import AmbiguousNameError, AssetctlError, HashMismatchError, IncompatibleError, NotFoundError
from assetctl.types import Asset, CheckReport, Coverage, Finding
from assetctl.wire import Outcome, document
from assetctl.wire.reading import read
from assetctl.wire.schema import event_schema, result_schema

EVENTS = [
    run.Started(task="cats", stage="fetch"),
    run.Bytes(file="cats.safetensors", done=3, total=9),
    run.Hashed(path="/a", sha256="0" * 64),
    run.Step(picture=1, pictures=2, step=3, steps=20),
    run.Preview(picture=1, step=3, image=b"\x89PNG"),
    run.Saved(path="/a"),
    run.Warned(message="Odd.", hint="Look."),
    run.Finished(task="cats", error="offline"),
]
FINDING = Finding("family", "error", ("a", "b"), "They differ.", "Take another.")


def as_sent(value: object) -> object:
    return json.loads(json.dumps(document(value)))


@pytest.mark.parametrize("event", EVENTS, ids=lambda each: type(each).__name__)
def test_an_event_comes_back_and_suits_its_schema(event):
    sent = as_sent(event)
    assert sent["event"] == type(event).__name__.lower()
    jsonschema.validate(sent, event_schema())
    assert read(run.Event, sent) == event
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(sent | {"forgotten": 1}, event_schema())


def test_every_class_of_events_was_tried():
    made = [each for each in vars(run).values() if isinstance(each, type) and issubclass(each, run.Event)]
    assert {type(each) for each in EVENTS} == {*made} - {run.Event}


def test_a_new_class_of_events_needs_nothing_here():
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Queued(run.Event):
        place: int
        before: tuple[str, ...] = ()

    sent = as_sent(Queued(task="cats", place=2, before=("dogs",)))
    assert sent == {"event": "queued", "task": "cats", "place": 2, "before": ["dogs"]}
    jsonschema.validate(sent, event_schema())
    assert read(run.Event, sent) == Queued(task="cats", place=2, before=("dogs",))


def test_a_report_comes_back():
    report = CheckReport(False, (FINDING,), (Coverage("cats", 10, 4, unmatched=("x",), alphas=(0.5, 1.0)),))
    assert read(CheckReport, as_sent(report)) == report


def test_an_asset_comes_back_but_for_the_number_of_its_row():
    asset = Asset(
        0, "cats", "lora", "sd1", None, None, None, "safetensors", "kohya", 5, None, None, ("cat",), (), "/a", True
    )  # fmt: skip
    assert "id" not in as_sent(asset)
    assert read(list[Asset], as_sent([asset])) == [asset]


@pytest.mark.parametrize(
    ("error", "more"),
    [
        (NotFoundError("No.", "Look."), {}),
        (HashMismatchError("Other bytes."), {}),
        (AmbiguousNameError("Two.", None, ("a", "b")), {"candidates": ["a", "b"]}),
        (IncompatibleError("No.", "Look.", [FINDING]), {"findings": [as_sent(FINDING)]}),
    ],
)
def test_an_error_comes_back_as_its_class_with_all_it_says(error, more):
    sent = as_sent(error)
    assert sent == {"code": error.code, "message": error.message, "hint": error.hint} | more
    back = read(AssetctlError, sent)
    assert (type(back), as_sent(back)) == (type(error), sent)


def test_what_fails_in_part_is_one_document():
    outcome = Outcome(["cats"], [run.Warned(message="Odd.")], [NotFoundError("No."), HashMismatchError("Other.")])
    sent = outcome.document()
    assert sent["error"]["done"] == ["cats"]
    assert [each["code"] for each in sent["error"]["errors"]] == ["not_found", "hash_mismatch"]
    assert sent["warnings"] == [{"message": "Odd.", "hint": None}]
    jsonschema.validate(sent, result_schema("list[Any]"))


@pytest.mark.parametrize(
    "wrong", [{"version": 1}, {"version": 2, "data": []}, {"version": 1, "data": [{"rule": "x"}]}, {"data": []}]
)
def test_a_schema_refuses_what_is_no_document_of_the_command(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, result_schema("list[types.Finding]"))


@pytest.mark.parametrize("wrong", [{}, {"ok": "yes", "findings": [], "coverage": []}, [], None])
def test_what_is_no_document_of_a_type_is_told(wrong):
    with pytest.raises(ValueError, match="no document"):
        read(CheckReport, wrong)
