// Kafka's protocol by librdkafka.
#include <cstring>
#include <librdkafka/rdkafka.h>
#include <mutex>
#include <thread>

#include "load.h"

namespace load {
namespace {

void set(rd_kafka_conf_t* conf, const char* name, const std::string& value) {
  char error[256];
  if (rd_kafka_conf_set(conf, name, value.c_str(), error, sizeof error) != RD_KAFKA_CONF_OK) give_up(error);
}

struct Counts {
  uint64_t acknowledged = 0, failed = 0;
};

void delivered(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto& counts = *static_cast<Counts*>(opaque);
  ++(message->err ? counts.failed : counts.acknowledged);
}

rd_kafka_t* make(const Options& options, rd_kafka_type_t type, Counts* counts) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", options.host + ":" + std::to_string(options.port));
  set(conf, "broker.address.family", "v4");
  if (type == RD_KAFKA_PRODUCER) {
    set(conf, "acks", std::to_string(options.acks));
    set(conf, "linger.ms", std::to_string(options.linger_ms));
    set(conf, "batch.num.messages", "10000");
    set(conf, "queue.buffering.max.messages", "100000");
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, counts);
  } else {
    set(conf, "group.id", "bench");
    set(conf, "fetch.wait.max.ms", "100");
    set(conf, "fetch.min.bytes", "1");
    set(conf, "fetch.message.max.bytes", "4194304");
    set(conf, "queued.min.messages", "200000");
    set(conf, "fetch.error.backoff.ms", "0");
  }
  char error[256];
  rd_kafka_t* client = rd_kafka_new(type, conf, error, sizeof error);
  if (!client) give_up(error);
  return client;
}

// Sends one message; waits while the client's queue is full.
void send(rd_kafka_t* client, rd_kafka_topic_t* topic, int32_t partition, void* payload, size_t size_bytes, int flags) {
  while (rd_kafka_produce(topic, partition, flags, payload, size_bytes, nullptr, 0, nullptr) != 0) {
    if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) give_up(rd_kafka_err2str(rd_kafka_last_error()));
    rd_kafka_poll(client, 1);
  }
}

Report produce(const Options& options) {
  std::vector<Counts> counts(static_cast<size_t>(options.clients));
  const std::string payload(options.size_bytes, 'x');
  const uint64_t share = share_of(options);
  std::vector<std::thread> threads;
  const uint64_t begin = now_ns(), end = begin + static_cast<uint64_t>(options.seconds * 1e9);
  for (int i = 0; i < options.clients; ++i)
    threads.emplace_back([&, i] {
      rd_kafka_t* client = make(options, RD_KAFKA_PRODUCER, &counts[static_cast<size_t>(i)]);
      rd_kafka_topic_t* topic = rd_kafka_topic_new(client, options.topic.c_str(), nullptr);
      for (uint64_t n = 0; n < share && (n % 64 != 0 || now_ns() < end); ++n) {
        const auto partition =
            static_cast<int32_t>((static_cast<uint64_t>(i) + n) % static_cast<uint64_t>(options.partitions));
        send(client, topic, partition, const_cast<char*>(payload.data()), payload.size(), 0);
        if (n % 64 == 0) rd_kafka_poll(client, 0);
      }
      rd_kafka_flush(client, 30'000);
      rd_kafka_topic_destroy(topic);
      rd_kafka_destroy(client);
    });
  for (std::thread& thread : threads) thread.join();
  Report report;
  report.seconds = static_cast<double>(now_ns() - begin) / 1e9;
  for (const Counts& one : counts) {
    report.messages += one.acknowledged;
    report.failed += one.failed;
  }
  return report;
}

Report consume(const Options& options) {
  std::atomic<uint64_t> received{0};
  std::vector<std::thread> threads;
  const uint64_t begin = now_ns(), end = begin + static_cast<uint64_t>(options.seconds * 1e9);
  std::atomic<uint64_t> finished_ns{0};
  for (int i = 0; i < options.clients; ++i)
    threads.emplace_back([&, i] {
      rd_kafka_t* client = make(options, RD_KAFKA_CONSUMER, nullptr);
      rd_kafka_topic_t* topic = rd_kafka_topic_new(client, options.topic.c_str(), nullptr);
      const int32_t partition = i % options.partitions;
      if (rd_kafka_consume_start(topic, partition, RD_KAFKA_OFFSET_BEGINNING) != 0) give_up("consume_start");
      std::vector<rd_kafka_message_t*> messages(4096);
      while (now_ns() < end && (options.messages == 0 || received < options.messages)) {
        const ssize_t count = rd_kafka_consume_batch(topic, partition, 50, messages.data(), messages.size());
        for (ssize_t m = 0; m < count; ++m) {
          if (!messages[static_cast<size_t>(m)]->err) received.fetch_add(1, std::memory_order_relaxed);
          rd_kafka_message_destroy(messages[static_cast<size_t>(m)]);
        }
        if (count > 0) finished_ns = now_ns();
      }
      rd_kafka_consume_stop(topic, partition);
      rd_kafka_topic_destroy(topic);
      rd_kafka_destroy(client);
    });
  for (std::thread& thread : threads) thread.join();
  Report report;
  report.messages = received;
  report.seconds = static_cast<double>(finished_ns - begin) / 1e9;
  return report;
}

// From the call that sends a message to the call that gives it to a consumer.
Report latency(const Options& options) {
  Report report;
  std::atomic<bool> stop{false};
  std::thread consumer([&] {
    Options consuming = options;
    rd_kafka_t* client = make(consuming, RD_KAFKA_CONSUMER, nullptr);
    rd_kafka_topic_t* topic = rd_kafka_topic_new(client, options.topic.c_str(), nullptr);
    if (rd_kafka_consume_start(topic, 0, RD_KAFKA_OFFSET_END) != 0) give_up("consume_start");
    std::vector<rd_kafka_message_t*> messages(4096);
    const uint64_t warm = now_ns() + 2'000'000'000;
    while (!stop) {
      const ssize_t count = rd_kafka_consume_batch(topic, 0, 1, messages.data(), messages.size());
      const uint64_t now = now_ns();
      for (ssize_t m = 0; m < count; ++m) {
        rd_kafka_message_t* message = messages[static_cast<size_t>(m)];
        uint64_t sent = 0;
        if (!message->err && message->len >= sizeof sent) {
          std::memcpy(&sent, message->payload, sizeof sent);
          ++report.messages;
          if (sent > warm) report.latency_us.add((now - sent) / 1000);
        }
        rd_kafka_message_destroy(message);
      }
    }
    rd_kafka_consume_stop(topic, 0);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
  });
  Counts counts;
  rd_kafka_t* client = make(options, RD_KAFKA_PRODUCER, &counts);
  rd_kafka_topic_t* topic = rd_kafka_topic_new(client, options.topic.c_str(), nullptr);
  std::string payload(options.size_bytes, 'x');
  const uint64_t begin = now_ns() + 1'000'000'000, end = begin + static_cast<uint64_t>((options.seconds + 1) * 1e9);
  for (uint64_t n = 0;; ++n) {
    const uint64_t due = begin + static_cast<uint64_t>(static_cast<double>(n) * 1e9 / options.rate);
    if (due >= end) break;
    while (now_ns() < due) {
      rd_kafka_poll(client, 0);
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    // The time at which it was due: a client that falls behind is seen.
    std::memcpy(payload.data(), &due, sizeof due);
    send(client, topic, 0, payload.data(), payload.size(), RD_KAFKA_MSG_F_COPY);
  }
  rd_kafka_flush(client, 10'000);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  stop = true;
  consumer.join();
  rd_kafka_topic_destroy(topic);
  rd_kafka_destroy(client);
  report.failed = counts.failed;
  report.seconds = options.seconds;
  return report;
}

}  // namespace

Report run_kafka(const Options& options) {
  if (options.work == "produce") return produce(options);
  if (options.work == "consume") return consume(options);
  if (options.work == "latency") return latency(options);
  give_up("unknown work " + options.work);
}

}  // namespace load
