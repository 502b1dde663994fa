#include "systems/stream/faces/command_call.h"

#include <fmt/format.h>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"

namespace polis::stream {

std::vector<systems::Flag> client_flags() {
  return {{.name = "broker", .help = "another broker than the polis that runs here", .value = "ADDRESS:PORT"},
          {.name = "user", .help = "proves who he is by SASL PLAIN", .value = "NAME"},
          {.name = "password", .help = "his password", .value = "TEXT"}};
}

Task<Result<Client>> open_client(systems::Invocation& call) {
  const std::string broker = flag(call, "broker"), user = flag(call, "user");
  io::Endpoint endpoint{.address = "127.0.0.1"};
  if (!broker.empty())
    endpoint = CO_TRY(io::Endpoint::parse(broker));
  else
    endpoint.port = CO_TRY(co_await call.api.port(user.empty() ? "stream.kafka" : "stream.kafka_sasl"));
  Client client = CO_TRY(co_await Client::open(endpoint, "polis"));
  if (!user.empty()) CO_TRY(co_await client.connection().authenticate(user, flag(call, "password")));
  co_return client;
}

int64_t now_ms() {
  const WallTime wall = io::Shard::current().clock().wall();
  return std::chrono::duration_cast<std::chrono::milliseconds>(wall.time_since_epoch()).count();
}

SteadyTime steady_now() {
  return io::Shard::current().clock().steady();
}

std::string fresh_name(std::string_view prefix) {
  base::SystemRandom random;
  return fmt::format("{}-{:08x}", prefix, static_cast<uint32_t>(random.next()));
}

}  // namespace polis::stream
