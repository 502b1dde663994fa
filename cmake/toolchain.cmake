# Compiler, linker and flags of the three modes. Measured reasons for each choice stand beside it.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# Every library is static and ends in an executable: one form for both, or the shared precompiled header is refused by one.
set(CMAKE_CXX_COMPILE_OPTIONS_PIC -fPIE)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)

find_program(CCACHE ccache)
if(CCACHE)
  # Precompiled headers need these two relaxations, or ccache never hits.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()

# The units of a folder are compiled together, eight at a time: most of a unit's time goes into the headers that all of them
# include. So names in a folder's anonymous namespaces differ. OFF suits somebody who changes one file again and again.
option(POLIS_UNITY "Compile the units of a folder together" ON)
set(CMAKE_UNITY_BUILD ${POLIS_UNITY})

add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough -Wunused
  # TRY and CO_TRY are statement expressions (src/kernel/base/result.h).
  -Wno-gnu-statement-expression-from-macro-expansion -Wno-gnu-statement-expression
  -Wno-missing-designated-field-initializers -Wno-missing-field-initializers
  -Werror=return-type -Werror=unused-result -Werror=uninitialized
  -fno-omit-frame-pointer -fcolor-diagnostics)
add_compile_definitions(_GLIBCXX_ASSERTIONS)
add_link_options(-fuse-ld=lld)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64")
  # One portable binary; wider vectors are chosen at run time.
  add_compile_options(-march=x86-64-v2)
endif()

if(POLIS_MODE STREQUAL "release")
  add_compile_options(-O2 -g1)
  add_link_options(-Wl,--gc-sections)
elseif(POLIS_MODE STREQUAL "debug")
  # -O0: the same tree at -O1 takes more than three times as long to compile.
  add_compile_options(-O0 -gline-tables-only -fsanitize=address,undefined -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
  add_compile_definitions(POLIS_DEBUG=1)
elseif(POLIS_MODE STREQUAL "tsan")
  add_compile_options(-O1 -gline-tables-only -fsanitize=thread)
  add_link_options(-fsanitize=thread)
  add_compile_definitions(POLIS_TSAN=1)
else()
  message(FATAL_ERROR "POLIS_MODE must be release, debug or tsan, not '${POLIS_MODE}'")
endif()
