// The root user's credentials of the first start: made, written to DIR/root-credentials.json, and only then put into
// the directory, so that a crash in between loses nothing: the next start finds the file and uses what it says.
#pragma once

#include <optional>
#include <string>

#include "app/files/data_directory.h"
#include "kernel/auth/directory.h"

namespace polis::app {

// POLIS_ROOT_USER, POLIS_ROOT_PASSWORD, POLIS_ROOT_ACCESS_KEY, POLIS_ROOT_SECRET_KEY; empty ones are made.
auth::RootPresets presets_of_environment();

// On a store without users: makes the root user and answers the path of the file. Otherwise changes nothing.
Task<Result<std::optional<std::string>>> make_root_user(auth::Directory& directory, DataDirectory& data,
                                                        auth::RootPresets presets, Random& random);

}  // namespace polis::app
