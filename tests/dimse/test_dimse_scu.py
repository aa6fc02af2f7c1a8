"""Our own requestor against archives and other programs' acceptors."""

from collections.abc import Callable
from typing import Any

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from vna.dimse import DimseSettings, Scu
from vna.errors import Unavailable
from vna.types import Remote


async def echo(remote: Remote, settings: DimseSettings) -> int:
    async with Scu(remote, settings) as scu:
        return await scu.c_echo()


def test_echo(node: Any) -> None:
    assert (
        node.run(echo(Remote("VNA", "127.0.0.1", node.port), DimseSettings(ae_title="OTHER"))) == 0
    )
    node.idle()


def test_a_rejection_is_named(node: Any) -> None:
    with pytest.raises(Unavailable, match=r"NOBODY rejected .*result 1, source 1, reason 7"):
        node.run(echo(Remote("NOBODY", "127.0.0.1", node.port), DimseSettings()))


def test_nobody_listens(node: Any, free_port: Callable[[], int]) -> None:
    port = free_port()
    with pytest.raises(Unavailable, match=f"GONE at 127.0.0.1:{port}"):
        node.run(echo(Remote("GONE", "127.0.0.1", port), DimseSettings()))


def test_a_peer_that_accepts_no_context(node: Any) -> None:
    async def ask() -> None:
        remote = Remote("VNA", "127.0.0.1", node.port)
        async with Scu(
            remote, DimseSettings(), [("1.2.840.10008.5.1.4.31", (ExplicitVRLittleEndian,))]
        ) as scu:
            assert scu.context("1.2.840.10008.5.1.4.31", ExplicitVRLittleEndian) is None
            await scu.c_echo()

    with pytest.raises(Unavailable, match="does not accept"):
        node.run(ask())


@pytest.mark.parametrize("window", [1, 4])
def test_an_archive_sends_to_another_archive(
    start_node: Callable[..., Any],
    store: Callable[..., Any],
    move: Callable[..., Any],
    identifier: Callable[..., Any],
    instance: Callable[..., Any],
    window: int,
) -> None:
    there = start_node()
    here = start_node(remotes=(Remote("VNA", "127.0.0.1", there.port, window=window),))
    objects = [instance(), instance(PixelData=bytes(3 << 20)), *(instance() for _ in range(6))]
    assert store(here, *objects) == [0] * 8
    final, _ = move(here, "study", "VNA", identifier("STUDY", StudyInstanceUID="1.2.3.1"))[-1]
    assert final.Status == 0
    assert there.sop_uids("1.2.3.1") == here.sop_uids("1.2.3.1")
    for ours, theirs in zip(
        here.archive.objects("1.2.3.1"), there.archive.objects("1.2.3.1"), strict=True
    ):
        assert here.dataset(ours) == there.dataset(theirs)
        assert theirs.sop_class == CTImageStorage


def test_at_most_128_contexts() -> None:
    contexts = [(f"1.2.{number}", (ExplicitVRLittleEndian,)) for number in range(129)]
    with pytest.raises(ValueError, match="128"):
        Scu(Remote("X", "127.0.0.1", 104), DimseSettings(), contexts)
