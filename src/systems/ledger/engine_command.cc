// Commands as bytes, as they stand in the journal:
//
//     operation u8 | parts u8: 1 session, 2 batches | batches u16 | timestamp u64
//     [client u128 | session u64 | request u32]                    if parts & 1
//     batches * u16                                                if parts & 2
//     events, 128 bytes each, to the end
#include "systems/ledger/engine.h"

namespace polis::ledger {
namespace {

constexpr uint8_t kHasSession = 1;
constexpr uint8_t kHasBatches = 2;
constexpr size_t kEventBytes = 128;

bool is_operation(uint8_t number) {
  switch (static_cast<Operation>(number)) {
    case Operation::kRegister:
    case Operation::kExpire:
    case Operation::kCreateAccounts:
    case Operation::kCreateTransfers:
      return true;
  }
  return false;
}

}  // namespace

void Engine::encode(const Command& command, base::Writer& out) {
  POLIS_ASSERT(command.batches.size() <= kBatchEventsMax);
  const bool has_session = command.from.client != 0;
  const bool has_batches = !command.batches.empty();
  out.u8(static_cast<uint8_t>(command.operation));
  out.u8(static_cast<uint8_t>((has_session ? kHasSession : 0) | (has_batches ? kHasBatches : 0)));
  out.u16(static_cast<uint16_t>(command.batches.size()));
  out.u64(command.timestamp);
  if (has_session) {
    out.u64(static_cast<uint64_t>(command.from.client));
    out.u64(static_cast<uint64_t>(command.from.client >> 64));
    out.u64(command.from.session);
    out.u32(command.from.request);
  }
  out.bytes(std::as_bytes(command.batches));
  out.bytes(command.events);
}

Result<Command> Engine::decode(BytesView in) {
  base::Reader reader(in);
  Command command;
  const uint8_t operation = reader.u8();
  const uint8_t parts = reader.u8();
  const uint16_t batches = reader.u16();
  command.operation = static_cast<Operation>(operation);
  command.timestamp = reader.u64();
  if (!is_operation(operation)) reader.reject("an unknown operation");
  if ((parts & ~(kHasSession | kHasBatches)) != 0 || ((parts & kHasBatches) != 0) != (batches != 0))
    reader.reject("unknown parts of a command");
  if (command.timestamp < 1 || command.timestamp > kTimestampMax) reader.reject("a timestamp out of range");
  if ((parts & kHasSession) != 0) {
    const uint64_t low = reader.u64(), high = reader.u64();
    command.from.client = static_cast<u128>(high) << 64 | low;
    command.from.session = reader.u64();
    command.from.request = reader.u32();
    if (command.from.client == 0) reader.reject("a session without a client");
  }
  const BytesView sizes = reader.bytes(size_t{batches} * sizeof(uint16_t));
  command.events = reader.rest();
  const size_t events = command.events.size() / kEventBytes;
  if (command.events.size() % kEventBytes != 0) reader.reject("a part of an event");
  if (events > kBatchEventsMax || batches > kBatchEventsMax) reader.reject("too many events");
  const bool creates =
      command.operation == Operation::kCreateAccounts || command.operation == Operation::kCreateTransfers;
  if (!creates && (events != 0 || batches != 0)) reader.reject("an operation without events has some");
  if (command.timestamp < events) reader.reject("a timestamp out of range");
  if (batches != 0) {
    size_t sum = 0;
    for (size_t i = 0; i < batches && reader.ok(); ++i) sum += record_at<uint16_t>(sizes, i);
    if (sum != events) reader.reject("batches that are not all events");
    command.batches = {reinterpret_cast<const uint16_t*>(sizes.data()), batches};
  }
  TRY(reader.finish());
  return command;
}

}  // namespace polis::ledger
