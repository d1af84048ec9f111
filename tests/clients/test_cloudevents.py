"""A plain consumer and the CloudEvents SDK of its project read what the relay publishes."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from kafka import KafkaConsumer

from domain.ids import event_id_text
from tests.domain.eventlog.brokers import KafkaBroker
from tests.domain.eventlog.lines import stored

pytestmark = pytest.mark.services


def test_anybody_s_consumer_reads_them_as_cloudevents(
    kafka_bootstrap: str, kafka_topic: str
) -> None:
    broker = KafkaBroker(kafka_bootstrap, kafka_topic)
    events = stored(20, accounts=5)
    sink = broker.sink()
    sink.publish(events)
    sink.close()
    consumer = KafkaConsumer(
        kafka_topic,
        bootstrap_servers=kafka_bootstrap,
        auto_offset_reset="earliest",
        consumer_timeout_ms=5000,
    )
    records = [record for record, _ in zip(consumer, events, strict=False)]
    consumer.close()
    read = [
        from_kafka_event(KafkaMessage(dict(record.headers), record.key, record.value))
        for record in records
    ]
    by_id = {one.get_id(): one for one in read}
    assert len(by_id) == 20
    for event in events:
        found = by_id[event_id_text(event.originator_id, 1)]
        assert found.get_specversion() == "1.0"
        assert found.get_source() == "st_1"
        assert found.get_type() == "request.routed"
        assert found.get_time() == datetime.fromisoformat(event.recorded_at)
        assert found.get_datacontenttype() == "application/json"
        assert found.get_extension("partitionkey") == event.account_id
        assert found.get_extension("seq") == str(event.seq)
        assert found.get_extension("hash") == event.hash
        assert found.get_data() == json.loads(event.line)
