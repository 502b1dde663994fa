#include "systems/stream/faces/bench_load.h"

#include "kernel/base/crc.h"
#include "kernel/base/endian.h"
#include "kernel/io/shard.h"
#include "systems/stream/faces/bench_command.h"
#include "systems/stream/faces/command_call.h"

namespace polis::stream {
namespace {

struct Load {
  const LoadPlan& plan;
  SteadyTime end{};
  LoadResult result;
  std::optional<Error> error;
};

uint64_t microseconds_since(SteadyTime begin) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(steady_now() - begin).count());
}

// The next of the batches that differ in nothing else: the field, and the checksum over it.
void set_sequence(Bytes& batch, int32_t sequence) {
  constexpr size_t kCrcAt = 17, kChecksummedAt = 21, kSequenceAt = 53;
  base::store_big<uint32_t>(batch.data() + kSequenceAt, static_cast<uint32_t>(sequence));
  base::store_big<uint32_t>(batch.data() + kCrcAt, base::crc32c(BytesView(batch).subspan(kChecksummedAt)));
}

// One connection. A batch is made once and sent again and again; an idempotent producer numbers it anew each time.
class LoadProducer {
 public:
  LoadProducer(Client client, int32_t number) : client_(std::move(client)), number_(number) {}

  Task<Result<void>> prepare(const LoadPlan& plan) {
    partition_ = number_ % plan.partitions;
    if (plan.guarantee == Guarantee::kTransactional) id_ = fresh_name("bench-eos");
    if (plan.guarantee != Guarantee::kPlain)
      producer_ =
          CO_TRY(co_await client_.init_producer(id_.empty() ? std::nullopt : std::optional<std::string_view>(id_)));
    batch_ = payload_batch(plan.records_a_batch, plan.record_bytes,
                           {.id = producer_.id,
                            .epoch = producer_.epoch,
                            .base_sequence = producer_.id < 0 ? -1 : 0,
                            .transactional = plan.guarantee == Guarantee::kTransactional});
    co_return Result<void>();
  }

  Task<Result<void>> run(Load& load) {
    const LoadPlan& plan = load.plan;
    while (steady_now() < load.end && !load.error) {
      const SteadyTime begin = steady_now();
      if (plan.guarantee != Guarantee::kTransactional) {
        CO_TRY(co_await send(load));
        continue;
      }
      CO_TRY(co_await client_.add_partition(id_, producer_, plan.topic, partition_));
      for (int32_t i = 0; i < plan.batches_a_transaction; ++i) CO_TRY(co_await send(load));
      CO_TRY(co_await client_.end_transaction(id_, producer_, true));
      ++load.result.transactions;
      load.result.transaction_us.record(microseconds_since(begin));
    }
    co_return Result<void>();
  }

 private:
  Task<Result<void>> send(Load& load) {
    const LoadPlan& plan = load.plan;
    if (plan.guarantee != Guarantee::kPlain) set_sequence(batch_, sequence_);
    const SteadyTime begin = steady_now();
    CO_TRY(co_await client_.produce(plan.topic, partition_, batch_, plan.acks,
                                    id_.empty() ? std::nullopt : std::optional<std::string_view>(id_)));
    load.result.latency_us.record(microseconds_since(begin));
    sequence_ += plan.records_a_batch;
    ++load.result.batches;
    load.result.records += static_cast<uint64_t>(plan.records_a_batch);
    load.result.bytes += batch_.size();
    // Writing without waiting for an answer never lets go of the shard by itself.
    if (plan.acks == 0) co_await io::yield();
    co_return Result<void>();
  }

  Client client_;
  const int32_t number_;
  int32_t partition_ = 0, sequence_ = 0;
  std::string id_;
  ProducerId producer_;
  Bytes batch_;
};

Task<void> drive(Load& load, LoadProducer& producer) {
  Result<void> done = co_await producer.run(load);
  if (!done && !load.error) load.error = done.error();
}

}  // namespace

Task<Result<LoadResult>> run_load(io::Endpoint endpoint, LoadPlan plan) {
  Load load{.plan = plan};
  std::vector<std::unique_ptr<LoadProducer>> producers;
  for (int32_t i = 0; i < plan.producers; ++i) {
    producers.push_back(std::make_unique<LoadProducer>(CO_TRY(co_await Client::open(endpoint, "polis-bench")), i));
    CO_TRY(co_await producers.back()->prepare(plan));
  }
  const SteadyTime begin = steady_now();
  load.end = begin + plan.time;
  io::TaskGroup group(co_await io::this_scope());
  for (const auto& producer : producers) group.spawn(drive(load, *producer));
  co_await group.join();
  if (load.error) co_return fail(*load.error);
  load.result.seconds = std::chrono::duration<double>(steady_now() - begin).count();
  co_return std::move(load.result);
}

}  // namespace polis::stream
