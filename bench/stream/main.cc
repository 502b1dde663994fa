// stream_load PROTOCOL WORK [--name value]...: prints one line of JSON.
#include <cstdio>
#include <cstdlib>
#include <sys/resource.h>

#include "load.h"

namespace load {

void give_up(const std::string& what) {
  std::fprintf(stderr, "stream_load: %s\n", what.c_str());
  std::exit(1);
}

namespace {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](timeval time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

Options parse(int argc, char** argv) {
  if (argc < 3)
    give_up(
        "usage: stream_load kafka|kafka-fetch|jetstream|rabbitmq produce|consume|latency --port N [--name value]...");
  Options options;
  options.protocol = argv[1];
  options.work = argv[2];
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--port")
      options.port = std::stoi(value);
    else if (name == "--topic")
      options.topic = value;
    else if (name == "--partitions")
      options.partitions = std::stoi(value);
    else if (name == "--clients")
      options.clients = std::stoi(value);
    else if (name == "--seconds")
      options.seconds = std::stod(value);
    else if (name == "--messages")
      options.messages = std::stoull(value);
    else if (name == "--size")
      options.size_bytes = std::stoull(value);
    else if (name == "--acks")
      options.acks = std::stoi(value);
    else if (name == "--linger-ms")
      options.linger_ms = std::stod(value);
    else if (name == "--rate")
      options.rate = std::stod(value);
    else if (name == "--pending")
      options.pending_max = std::stoi(value);
    else
      give_up("unknown option " + name);
  }
  return options;
}

}  // namespace
}  // namespace load

int main(int argc, char** argv) {
  using namespace load;
  const Options options = parse(argc, argv);
  Report report;
  if (options.protocol == "kafka")
    report = run_kafka(options);
  else if (options.protocol == "kafka-fetch")
    report = run_kafka_fetch(options);
  else if (options.protocol == "jetstream")
    report = run_jetstream(options);
  else if (options.protocol == "rabbitmq")
    report = run_rabbitmq(options);
  else
    give_up("unknown protocol " + options.protocol);
  std::printf(
      "{\"messages\": %llu, \"failed\": %llu, \"seconds\": %.4f, \"client_cpu_seconds\": %.3f, "
      "\"latency_us\": {\"count\": %llu, \"p50\": %llu, \"p99\": %llu, \"p999\": %llu}}\n",
      static_cast<unsigned long long>(report.messages), static_cast<unsigned long long>(report.failed), report.seconds,
      cpu_seconds(), static_cast<unsigned long long>(report.latency_us.count()),
      static_cast<unsigned long long>(report.latency_us.percentile(0.5)),
      static_cast<unsigned long long>(report.latency_us.percentile(0.99)),
      static_cast<unsigned long long>(report.latency_us.percentile(0.999)));
}
