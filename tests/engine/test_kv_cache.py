import torch

from fairseq_specdec.engine.kv_cache import CrossCache, KVCache


def cache_of(n_rows, capacity=8, heads=2, head_dim=3):
    return KVCache(1, (n_rows, capacity, heads, head_dim), like=torch.zeros(()))


def block(n_rows, n, value):
    return torch.full((n_rows, n, 12), float(value))


def write(cache, n, value):
    cache.plan(n, int(cache.lengths.max()))
    where = cache.positions(n)
    mask = cache.open(where)
    keys, values = cache.write(0, block(cache.n_rows, n, value))
    return where, mask, keys, values


def test_a_block_is_written_behind_each_rows_own_length():
    cache = cache_of(2)
    write(cache, 3, 1)
    cache.commit(torch.tensor([1, 3]))
    where, _, keys, _ = write(cache, 2, 2)
    assert where.tolist() == [[1, 2], [3, 4]]
    assert keys[:, 0, :, 0].tolist() == [[1, 2, 2, 0, 0], [1, 1, 1, 2, 2]]


def test_positions_of_a_block_that_belongs_together_see_all_of_it():
    cache = cache_of(2)
    write(cache, 3, 1)
    cache.commit(torch.tensor([1, 3]))
    cache.plan(2, 3)
    mask = cache.open(cache.positions(2), together=True)
    assert mask[:, 0].isfinite().tolist() == [[[True, True, True, False, False]], [[True] * 5]]


def test_a_position_sees_the_committed_ones_and_its_own_block_up_to_itself():
    cache = cache_of(2)
    write(cache, 3, 1)
    cache.commit(torch.tensor([1, 3]))
    _, mask, _, _ = write(cache, 2, 2)
    assert mask[:, 0].isfinite().tolist() == [
        [[True, True, False, False, False], [True, True, True, False, False]],
        [[True, True, True, True, False], [True, True, True, True, True]],
    ]


def test_a_single_position_of_a_single_row_needs_no_mask():
    cache = cache_of(1)
    cache.plan(1, 0)
    assert cache.open(cache.positions(1)) is None


def test_rejected_positions_are_masked_then_overwritten():
    cache = cache_of(1)
    write(cache, 4, 1)
    cache.commit(torch.tensor([2]))
    _, mask, keys, _ = write(cache, 1, 5)
    assert mask is None
    assert keys[0, 0, :, 0].tolist() == [1, 1, 5]


def test_keys_and_values_do_not_mix():
    cache = cache_of(1)
    cache.plan(1, 0)
    cache.open(cache.positions(1))
    keys, values = cache.write(0, torch.arange(12.0).view(1, 1, 12))
    assert keys.flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert values.flatten().tolist() == [6, 7, 8, 9, 10, 11]


def test_selected_rows_keep_their_content_and_length():
    cache = cache_of(3)
    cache.plan(2, 0)
    cache.open(cache.positions(2))
    cache.write(0, torch.arange(3.0)[:, None, None].expand(3, 2, 12))
    cache.commit(torch.tensor([1, 2, 2]))
    cache.select_rows(torch.tensor([2, 0]))
    assert cache.lengths.tolist() == [2, 1]
    _, _, keys, _ = write(cache, 1, 9)
    assert keys[:, 0, :, 0].tolist() == [[2, 2, 9], [0, 9, 0]]


def test_compiled_code_gets_the_same_views_and_where_to_write():
    cache = cache_of(2)
    _, _, keys, values = write(cache, 3, 1)
    (own,), (store,), extent = cache.native()
    assert (extent, own.lengths, own.mask) == (3, cache.lengths.data_ptr(), None)
    assert (own.keys, own.values, store.store) == (keys.data_ptr(), values.data_ptr(), keys.data_ptr())
    assert (own.row_stride, own.head_stride, own.stride) == keys.stride()[:3] == values.stride()[:3]
    assert store.capacity == cache.capacity
    cache.select_rows(torch.tensor([1]))
    (kept,), _, _ = cache.native()
    assert kept.lengths == cache.lengths.data_ptr() != own.lengths


def test_source_padding_is_masked_and_follows_its_rows():
    padding = torch.tensor([[False, False], [True, False]])
    cache = CrossCache(torch.arange(2.0)[:, None, None].expand(2, 2, 12), 1, heads=2, padding=padding)
    assert cache.mask.isfinite().squeeze().tolist() == [[True, True], [False, True]]
    cache.select_rows(torch.tensor([1]))
    keys, values = cache.read(0)
    seen = cache.keys(0)
    assert cache.native()[0].keys == keys.data_ptr()
    assert (seen.key is keys, seen.value is values, seen.mask is cache.mask, seen.extent) == (True, True, True, 2)
    assert keys.shape == values.shape == (1, 2, 2, 3)
    assert keys.unique().item() == 1
    assert cache.mask.isfinite().flatten().tolist() == [False, True]
