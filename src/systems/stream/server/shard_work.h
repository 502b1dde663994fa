// Work on the partitions of one request, gathered by the shard they live on: one hop a shard rather than a partition.
#pragma once

#include <span>
#include <vector>

#include "kernel/io/shard.h"

namespace polis::stream {

template <class Item>
struct ShardWork {
  io::Shard* shard;
  std::vector<Item*> items;  // in the order of the request
};

template <class Item>
void add_work(std::vector<ShardWork<Item>>& work, io::Shard& shard, Item& item) {
  for (auto& one : work)
    if (one.shard == &shard) return one.items.push_back(&item);
  work.push_back({&shard, {&item}});
}

namespace detail {

template <class Item, class F>
Task<void> run_there(ShardWork<Item>& work, F& run, size_t& left, io::Event* begun) {
  // Whoever waits for it goes on after this coroutine has posted its call.
  if (--left == 0 && begun) begun->set();
  co_await io::on(*work.shard, [&]() -> Task<void> { return run(std::span<Item* const>(work.items)); });
}

}  // namespace detail

// Calls `run(items)`, which returns a Task<void>, on each shard, all at once; done when all are. `begun` is set when
// all calls are on their way: what is sent to a shard later arrives there later.
template <class Item, class F>
Task<void> on_shards(std::vector<ShardWork<Item>>& work, F& run, io::Event* begun = nullptr) {
  size_t left = work.size();
  if (left == 0 && begun) begun->set();
  if (left == 1) {
    co_await detail::run_there(work.front(), run, left, begun);
    co_return;
  }
  io::TaskGroup tasks(co_await io::this_scope());
  for (auto& one : work) tasks.spawn(detail::run_there(one, run, left, begun));
  co_await tasks.join();
}

}  // namespace polis::stream
