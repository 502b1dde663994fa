// What the sanitizers are told by default, so that a test run by hand behaves as under CTest; the environment wins.
// Linked into every test of the debug and tsan trees (cmake/polis.cmake).

// RocksDB, GnuTLS and the other libraries of Debian are not instrumented. ASan then reports globals that both sides
// define, and TSan sees their memory but not their locks: it may look only at calls that come from our own code.
extern "C" const char* __asan_default_options() {
  return "detect_odr_violation=0:detect_leaks=1";
}
extern "C" const char* __ubsan_default_options() {
  return "print_stacktrace=1";
}
extern "C" const char* __tsan_default_options() {
  return "ignore_noninstrumented_modules=1:second_deadlock_stack=1";
}
