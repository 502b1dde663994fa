// NATS JetStream by libnats: a stream kept in files, asynchronous publishing, an ordered consumer.
#include <cstring>
#include <nats/nats.h>
#include <thread>

#include "load.h"

namespace load {
namespace {

void check(natsStatus status, const char* what) {
  if (status != NATS_OK) give_up(std::string(what) + ": " + natsStatus_GetText(status));
}

struct Session {
  natsConnection* connection = nullptr;
  jsCtx* context = nullptr;
  std::atomic<uint64_t> failed{0};

  static void refused(jsCtx*, jsPubAckErr*, void* closure) { ++static_cast<Session*>(closure)->failed; }

  explicit Session(const Options& options) {
    natsOptions* connecting = nullptr;
    check(natsOptions_Create(&connecting), "options");
    check(natsOptions_SetURL(connecting, ("nats://" + options.host + ":" + std::to_string(options.port)).c_str()),
          "url");
    check(natsOptions_SetMaxPendingMsgs(connecting, 10'000'000), "pending");
    check(natsConnection_Connect(&connection, connecting), "connect");
    natsOptions_Destroy(connecting);
    jsOptions js;
    check(jsOptions_Init(&js), "jetstream options");
    js.PublishAsync.MaxPending = options.pending_max;
    js.PublishAsync.StallWait = 10'000;
    js.PublishAsync.ErrHandler = refused;
    js.PublishAsync.ErrHandlerClosure = this;
    check(natsConnection_JetStream(&context, connection, &js), "jetstream");
  }
  ~Session() {
    jsCtx_Destroy(context);
    natsConnection_Destroy(connection);
  }
  void make_stream(const Options& options) {
    jsStreamConfig config;
    check(jsStreamConfig_Init(&config), "stream");
    const char* subjects[] = {options.topic.c_str()};
    config.Name = options.topic.c_str();
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = js_FileStorage;
    jsStreamInfo* info = nullptr;
    jsErrCode code{};
    const natsStatus made = js_AddStream(&info, context, &config, nullptr, &code);
    if (made != NATS_OK && code != JSStreamNameExistErr) check(made, "add stream");
    jsStreamInfo_Destroy(info);
  }
};

Report produce(const Options& options) {
  Session(options).make_stream(options);
  std::vector<std::thread> threads;
  std::atomic<uint64_t> published{0}, failed{0};
  const std::string payload(options.size_bytes, 'x');
  const uint64_t share = share_of(options);
  const uint64_t begin = now_ns(), end = begin + static_cast<uint64_t>(options.seconds * 1e9);
  for (int i = 0; i < options.clients; ++i)
    threads.emplace_back([&] {
      Session session(options);
      uint64_t count = 0;
      for (uint64_t n = 0; n < share && (n % 64 != 0 || now_ns() < end); ++n) {
        check(js_PublishAsync(session.context, options.topic.c_str(), payload.data(), static_cast<int>(payload.size()),
                              nullptr),
              "publish");
        ++count;
      }
      jsPubOptions waiting;
      jsPubOptions_Init(&waiting);
      waiting.MaxWait = 60'000;
      check(js_PublishAsyncComplete(session.context, &waiting), "acknowledgements");
      published += count;
      failed += session.failed;
    });
  for (std::thread& thread : threads) thread.join();
  Report report;
  report.messages = published - failed;
  report.failed = failed;
  report.seconds = static_cast<double>(now_ns() - begin) / 1e9;
  return report;
}

natsSubscription* subscribe(Session& session, const Options& options, bool all) {
  jsSubOptions how;
  check(jsSubOptions_Init(&how), "subscription");
  how.Ordered = true;
  how.Stream = options.topic.c_str();
  how.Config.DeliverPolicy = all ? js_DeliverAll : js_DeliverNew;
  natsSubscription* subscription = nullptr;
  jsErrCode code{};
  check(js_SubscribeSync(&subscription, session.context, options.topic.c_str(), nullptr, &how, &code), "subscribe");
  check(natsSubscription_SetPendingLimits(subscription, -1, -1), "limits");
  return subscription;
}

Report consume(const Options& options) {
  std::atomic<uint64_t> received{0}, finished_ns{0};
  std::vector<std::thread> threads;
  const uint64_t begin = now_ns(), end = begin + static_cast<uint64_t>(options.seconds * 1e9);
  for (int i = 0; i < options.clients; ++i)
    threads.emplace_back([&] {
      Session session(options);
      natsSubscription* subscription = subscribe(session, options, true);
      while (now_ns() < end && (options.messages == 0 || received < options.messages)) {
        natsMsg* message = nullptr;
        const natsStatus status = natsSubscription_NextMsg(&message, subscription, 100);
        if (status == NATS_TIMEOUT) continue;
        check(status, "next message");
        received.fetch_add(1, std::memory_order_relaxed);
        natsMsg_Destroy(message);
        finished_ns.store(now_ns(), std::memory_order_relaxed);
      }
      natsSubscription_Destroy(subscription);
    });
  for (std::thread& thread : threads) thread.join();
  Report report;
  report.messages = received;
  report.seconds = static_cast<double>(finished_ns - begin) / 1e9;
  return report;
}

Report latency(const Options& options) {
  Report report;
  Session publishing(options);
  publishing.make_stream(options);
  std::atomic<bool> stop{false};
  std::thread consumer([&] {
    Session session(options);
    natsSubscription* subscription = subscribe(session, options, false);
    const uint64_t warm = now_ns() + 2'000'000'000;
    while (!stop) {
      natsMsg* message = nullptr;
      if (natsSubscription_NextMsg(&message, subscription, 50) != NATS_OK) continue;
      uint64_t sent = 0;
      std::memcpy(&sent, natsMsg_GetData(message), sizeof sent);
      ++report.messages;
      if (sent > warm) report.latency_us.add((now_ns() - sent) / 1000);
      natsMsg_Destroy(message);
    }
    natsSubscription_Destroy(subscription);
  });
  std::string payload(options.size_bytes, 'x');
  const uint64_t begin = now_ns() + 1'000'000'000, end = begin + static_cast<uint64_t>((options.seconds + 1) * 1e9);
  for (uint64_t n = 0;; ++n) {
    const uint64_t due = begin + static_cast<uint64_t>(static_cast<double>(n) * 1e9 / options.rate);
    if (due >= end) break;
    while (now_ns() < due) std::this_thread::sleep_for(std::chrono::microseconds(50));
    std::memcpy(payload.data(), &due, sizeof due);
    check(js_PublishAsync(publishing.context, options.topic.c_str(), payload.data(), static_cast<int>(payload.size()),
                          nullptr),
          "publish");
  }
  jsPubOptions waiting;
  jsPubOptions_Init(&waiting);
  waiting.MaxWait = 10'000;
  check(js_PublishAsyncComplete(publishing.context, &waiting), "acknowledgements");
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  stop = true;
  consumer.join();
  report.failed = publishing.failed;
  report.seconds = options.seconds;
  return report;
}

}  // namespace

Report run_jetstream(const Options& options) {
  nats_Open(-1);
  if (options.work == "produce") return produce(options);
  if (options.work == "consume") return consume(options);
  if (options.work == "latency") return latency(options);
  give_up("unknown work " + options.work);
}

}  // namespace load
