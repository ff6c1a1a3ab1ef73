import gc
from weakref import ref

from sklearn_transfer import clear_cache
from sklearn_transfer._utils.objects.memo import ObjectCache, register_memo


class Thing:
    pass


def test_one_object_per_key():
    cache = ObjectCache(n_recent=1)
    assert cache.get("a", Thing) is cache.get("a", Thing)
    assert cache.get("a", Thing) is not cache.get("b", Thing)


def test_the_most_recent_objects_are_held():
    cache = ObjectCache(n_recent=2)
    held = {key: ref(cache.get(key, Thing)) for key in "abc"}
    cache.get("b", Thing)
    cache.get("d", Thing)
    gc.collect()
    assert [key for key in held if held[key]() is not None] == ["b"]


def test_clear_cache_releases_what_nobody_uses():
    cache = ObjectCache(n_recent=2)
    used, unused = cache.get("a", Thing), ref(cache.get("b", Thing))
    clear_cache()
    gc.collect()
    assert unused() is None
    assert cache.get("a", Thing) is used


def test_clear_cache_clears_registered_memos():
    memo = {1: 2}
    assert register_memo(memo.clear) == memo.clear
    clear_cache()
    assert memo == {}
