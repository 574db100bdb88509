import copy
import pickle
import shutil

import pytest
import torch

from vlft.data import feature_store
from vlft.data.feature_store import FeatureStore
from vlft.errors import DataError


def rows(**values):
    """Images of one row each."""
    return {key: torch.full((1, 2, 3), float(value)) for key, value in values.items()}


def test_rows_come_back_by_their_keys_in_any_order(tmp_path):
    store = FeatureStore(tmp_path, (2, 3))
    store.append(rows(a=1, b=2))
    store.append(rows(c=3))
    again = FeatureStore(tmp_path, (2, 3))
    for one in (store, again, pickle.loads(pickle.dumps(store))):  # noqa: S301  our own
        assert one.rows(["c", "a", "c"])[:, 0, 0].tolist() == [3, 1, 3]
        assert one.rows(["b"]).dtype == torch.float16
    assert "b" in again
    assert "d" not in again


@pytest.mark.parametrize(("file", "left"), [("index", ["a"]), ("rows.bin", ["a"])])
def test_what_a_kill_left_unfinished_is_written_anew(tmp_path, file, left):
    FeatureStore(tmp_path, (2, 3)).append(rows(a=1))
    FeatureStore(tmp_path, (2, 3)).append(rows(b=2))
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-1])
    store = FeatureStore(tmp_path, (2, 3))
    assert [key for key in "ab" if key in store] == left
    store.append(rows(c=3))
    again = FeatureStore(tmp_path, (2, 3))
    assert again.rows(["a", "c"])[:, 0, 0].tolist() == [1, 3]
    assert "b" not in again


def test_a_short_disk_is_refused_beforehand(tmp_path, monkeypatch):
    store = FeatureStore(tmp_path, (2, 3))
    store.require_room(5, rows=5)
    monkeypatch.setattr(feature_store, "free_bytes", lambda folder: feature_store.MARGIN + 50)
    with pytest.raises(DataError, match=r"5 images take 0\.0 GB .* leave the cache off"):
        store.require_room(5, rows=5)


def test_two_runs_that_fill_one_store_keep_each_others_rows(tmp_path):
    one, two = (FeatureStore(tmp_path, (2, 3)) for _ in range(2))
    one.append(rows(a=1, b=2))
    two.append(rows(c=3, a=9))
    one.append(rows(d=4))
    assert one.rows(["a", "b", "c", "d"])[:, 0, 0].tolist() == [1, 2, 3, 4]
    two.reload()
    assert two.rows(["d", "a"])[:, 0, 0].tolist() == [4, 1]


def test_images_may_have_several_rows_each(tmp_path):
    store = FeatureStore(tmp_path, (2, 3))
    numbered = torch.arange(5.0)[:, None, None].expand(-1, 2, 3)
    store.append({"a": numbered[:1], "b": numbered[1:4]})
    store.append({"c": numbered[4:], "b": numbered[:3]})
    assert store.num_rows == 5
    for one in (store, FeatureStore(tmp_path, (2, 3))):
        assert one.rows(["b", "a"])[:, 0, 0].tolist() == [1, 2, 3, 0]
        assert one.rows(["c"])[:, 0, 0].tolist() == [4]
    path = tmp_path / "rows.bin"
    path.write_bytes(path.read_bytes()[: 3 * 12])  # cut inside of b
    cut = FeatureStore(tmp_path, (2, 3))
    assert ("a" in cut, "b" in cut, "c" in cut) == (True, False, False)


def test_values_that_float16_does_not_hold_are_refused(tmp_path):
    store = FeatureStore(tmp_path, (2, 3))
    with pytest.raises(DataError, match=r"values that float16 does not hold \(up to 1e\+05\)"):
        store.append(rows(a=1e5))
    assert "a" not in FeatureStore(tmp_path, (2, 3))


def test_a_store_that_was_deleted_and_filled_again_is_not_read_as_the_old_one(tmp_path):
    """Equal sizes, other rows: a worker that maps the file anew would give others' features."""
    old = FeatureStore(tmp_path / "s", (2, 3))
    old.append(rows(a=1))
    shutil.rmtree(tmp_path / "s")
    FeatureStore(tmp_path / "s", (2, 3)).append(rows(x=9))
    worker = copy.copy(old)  # as a process of its own gets it, without the mapped file
    for store in (old, worker):
        with pytest.raises(DataError, match="are gone or cut off while a run reads them"):
            store.rows(["a"])
    with pytest.raises(DataError, match="are gone or cut off"):
        old.append(rows(b=2))


def test_a_row_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="are gone or cut off"):
        FeatureStore(tmp_path, (2, 3)).rows(["nothing"])
