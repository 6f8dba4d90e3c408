"""The file that keeps a cursor."""

from pathlib import Path

import pytest

from user_bridge import FileCursorStore


async def test_the_last_cursor_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    store = FileCursorStore(path)
    assert await store.load() == ""
    await store.save("one")
    await store.save("two")
    assert await FileCursorStore(str(path)).load() == "two"
    await store.save("")
    assert await store.load() == ""


async def test_a_save_that_fails_leaves_the_old_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileCursorStore(tmp_path / "cursor")
    await store.save("old")

    def full(_descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        await store.save("new")
    monkeypatch.undo()
    assert await store.load() == "old"
    await store.save("new")
    assert await store.load() == "new"


async def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await FileCursorStore(tmp_path / "missing" / "cursor").save("one")
