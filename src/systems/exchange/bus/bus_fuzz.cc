// A ring file with any bytes in it: opened, read to its end and used again, without harm.
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

#include "systems/exchange/bus/bus.h"

namespace polis::exchange {
namespace {

constexpr size_t kFuzzSlots = kBusSlotsMin;

struct Fixture {
  std::string path = fmt::format("{}/polis_bus_fuzz_{}", std::filesystem::temp_directory_path().string(), ::getpid());
  Bytes sound;  // a ring that went round more than once
  int descriptor = -1;
  ~Fixture() { std::filesystem::remove(path); }
};

Fixture& fixture() {
  static Fixture made = [] {
    Fixture fixture;
    BusTail tail;
    {
      auto bus = Bus::open({.path = fixture.path, .slots = kFuzzSlots, .lock_memory = false}, tail).value();
      const Bytes payload(kBusRecordBytesMax, std::byte{1});
      for (size_t i = 0; i < 900; ++i) {
        const BytesView view(payload.data(), i % (kBusRecordBytesMax + 1));
        POLIS_ASSERT(bus->room(bus_slots_of(view.size())));
        bus->write(BusType::kReport, 0, 1, i, 0, view);
      }
    }
    fixture.sound.resize(std::filesystem::file_size(fixture.path));
    const int descriptor = ::open(fixture.path.c_str(), O_RDONLY | O_CLOEXEC);
    POLIS_ASSERT(::pread(descriptor, fixture.sound.data(), fixture.sound.size(), 0) ==
                 static_cast<ssize_t>(fixture.sound.size()));
    ::close(descriptor);
    return fixture;
  }();
  return made;
}

}  // namespace
}  // namespace polis::exchange

// Input: patches, each offset u24, length u8, bytes. An offset beyond the file cuts it at offset mod its size.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  namespace exchange = polis::exchange;
  auto& fixture = exchange::fixture();
  polis::Bytes file = fixture.sound;
  size_t cut = file.size();
  for (size_t at = 0; at + 4 <= size;) {
    const size_t offset = input[at] | input[at + 1] << 8 | input[at + 2] << 16;
    const size_t length = std::min<size_t>(input[at + 3], size - at - 4);
    if (offset >= file.size()) cut = offset % file.size();
    for (size_t i = 0; i < length && offset + i < file.size(); ++i)
      file[offset + i] = static_cast<std::byte>(input[at + 4 + i]);
    at += 4 + length;
  }
  file.resize(cut);
  const int descriptor = ::open(fixture.path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  POLIS_ASSERT(::pwrite(descriptor, file.data(), file.size(), 0) == static_cast<ssize_t>(file.size()));
  ::close(descriptor);

  if (auto watcher = exchange::Bus::attach(fixture.path)) {
    alignas(8) std::byte payload[exchange::kBusRecordBytesMax];
    exchange::BusRecord record;
    if (auto reader = (*watcher)->reader("fuzz", false, (*watcher)->written() > 20 ? (*watcher)->written() - 20 : 0))
      while ((*reader)->poll(record, payload)) POLIS_ASSERT(record.length <= sizeof payload);
    (void)(*watcher)->cursors();
  }
  exchange::BusTail tail;
  auto bus = exchange::Bus::open({.path = fixture.path, .slots = exchange::kFuzzSlots, .lock_memory = false}, tail);
  POLIS_ASSERT(bus.has_value());
  POLIS_ASSERT(tail.first <= tail.next);
  if (tail.first != tail.next) {
    auto reader = (*bus)->reader("recovery", true, tail.first);
    POLIS_ASSERT(reader.has_value());
    alignas(8) std::byte payload[exchange::kBusRecordBytesMax];
    exchange::BusRecord record;
    while ((*reader)->poll(record, payload)) POLIS_ASSERT(record.length <= sizeof payload);
    POLIS_ASSERT((*reader)->next() >= tail.next);
  }
  POLIS_ASSERT((*bus)->restart(7).has_value() && (*bus)->room(1));
  (*bus)->write(exchange::BusType::kTurn, 0, 0, 0, 0, {});
  POLIS_ASSERT((*bus)->reader("after", false, 7).has_value());
  return 0;
}
