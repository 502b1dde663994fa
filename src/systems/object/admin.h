// The admin API of the object store, below /api/object/v1 on the main port: what the console and `polis object` read
// and do that S3 itself has no words for. README.md lists every path. Handlers run on any shard and hop to the
// Service's.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "kernel/http/router.h"
#include "kernel/io/shard.h"
#include "systems/live.h"
#include "systems/object/server.h"
#include "systems/plan.h"

namespace polis::object {

// A long piece of work on the Blob: at most one of a kind runs.
struct Job {
  std::string kind;  // "scrub", "repair", "compact"
  bool running = false;
  uint64_t done = 0, total = 0;
  WallTime begun_at{}, ended_at{};
  std::string report;  // JSON object; empty until it ended well
  std::string error;   // empty unless it failed
  Duration took{};
};

class Admin {
 public:
  // On the server's shard; all references outlive it.
  Admin(Server& server, auth::Directory& directory, systems::Plans& plans, const Clock& clock);

  // During start.
  void mount(http::Router& router);
  Result<void> declare_topics(systems::LiveTopics& topics);
  // Ends running jobs.
  Task<void> stop();

  // The state of the drives in one word and one sentence.
  struct Condition {
    bool degraded = false, failed = false;
    std::string message;
  };
  Condition condition() const;

 private:
  using Json = Task<Result<std::string>>;
  Json status();
  Json drives();
  Json buckets();
  Json bucket(std::string name);
  Json puts();
  Json access();
  Json jobs();
  Json durability(std::string query);
  Json start_job(std::string kind);
  Json set_drive(unsigned index, blob::DriveState state);
  Json grid();
  Task<Result<systems::PlanDraft>> plan_drive(std::string index, blob::DriveState state);
  Task<Result<systems::PlanDraft>> plan_new_drive(std::string body);
  Task<Result<systems::PlanDraft>> plan_bucket_removal(std::string name, auth::PrincipalPtr who);
  Task<Result<systems::PlanDraft>> plan_removal(std::string bucket_name, std::string prefix, auth::PrincipalPtr who);
  Json presign(auth::PrincipalPtr principal, std::string body);
  Task<void> run_job(Job& job);

  // Accounts with preset ids and keys, as test suites and migrations bring them.
  Json add_account(auth::Actor actor, std::string body);

  Server& server_;
  auth::Directory& directory_;
  systems::Plans& plans_;
  const Clock& clock_;
  io::Shard& home_;
  std::map<std::string, Job> jobs_;
  double repair_bytes_s_ = 0;  // of the last repair that was large enough to tell; 0: none was
  io::TaskGroup running_;
};

}  // namespace polis::object
