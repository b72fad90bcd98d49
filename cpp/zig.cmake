# For PyPI's package ziglang, which brings a compiler, a C++ library, and the C libraries of many systems (wheels/build.py):
# cmake -DCMAKE_TOOLCHAIN_FILE=cpp/zig.cmake -DBITVIT_ZIG=.../ziglang/zig -DBITVIT_ZIG_TARGET=aarch64-linux-gnu.2.17 ...
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES BITVIT_ZIG BITVIT_ZIG_TARGET)
if(NOT BITVIT_ZIG_TARGET MATCHES "^([a-z0-9_]+)-(linux|macos|windows)[-.]")
  message(FATAL_ERROR "BITVIT_ZIG_TARGET is ${BITVIT_ZIG_TARGET}, expected such as aarch64-linux-gnu.2.17")
endif()
set(CMAKE_SYSTEM_PROCESSOR ${CMAKE_MATCH_1})
if(CMAKE_MATCH_2 STREQUAL "macos")
  set(CMAKE_SYSTEM_NAME Darwin)
  set(CMAKE_INSTALL_NAME_TOOL ${CMAKE_COMMAND})  # CMake looks for it, and nothing here calls it
elseif(CMAKE_MATCH_2 STREQUAL "windows")
  set(CMAKE_SYSTEM_NAME Windows)
else()
  set(CMAKE_SYSTEM_NAME Linux)
endif()
set(CMAKE_CXX_COMPILER ${BITVIT_ZIG} c++ -target ${BITVIT_ZIG_TARGET})
# A subcommand of zig as well, which the variable CMAKE_AR cannot say.
set(CMAKE_CXX_ARCHIVE_CREATE "${BITVIT_ZIG} ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_APPEND "${BITVIT_ZIG} ar q <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "${BITVIT_ZIG} ranlib <TARGET>")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(BITVIT_OPTIONS_OF_neon_dotprod -mcpu=generic+dotprod)  # zig does not know the names of Arm's architectures
