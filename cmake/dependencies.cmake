# Third parties, each an imported target that exactly one folder links (see docs/architecture.md).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson>=2.14)
pkg_check_modules(yaml REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(openssl REQUIRED IMPORTED_TARGET openssl>=3.0)
pkg_check_modules(libcrypto REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(libcrypt REQUIRED IMPORTED_TARGET libcrypt)
pkg_check_modules(event REQUIRED IMPORTED_TARGET libevent>=2.1.12 libevent_pthreads libevent_openssl)

find_path(LMDB_INCLUDE lmdb.h REQUIRED)
find_library(LMDB_LIBRARY lmdb REQUIRED)
add_library(ks_lmdb_library UNKNOWN IMPORTED)
set_target_properties(ks_lmdb_library PROPERTIES
  IMPORTED_LOCATION "${LMDB_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${LMDB_INCLUDE}")

# Debian 12 ships no usable CMake or pkg-config file for Proton's engine-only library, and no
# development symlink: the second name serves it, the first one newer distributions.
find_path(PROTON_INCLUDE proton/connection_driver.h REQUIRED)
find_library(PROTON_CORE_LIBRARY NAMES qpid-proton-core libqpid-proton-core.so.10 REQUIRED)
add_library(ks_proton_core UNKNOWN IMPORTED)
set_target_properties(ks_proton_core PROPERTIES
  IMPORTED_LOCATION "${PROTON_CORE_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${PROTON_INCLUDE}")

# One static library per folder: ks_folder(name DEPENDS folders... LIBRARIES third parties...).
# Every .c file below the folder belongs to it.
function(ks_folder name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LIBRARIES;SOURCES" ${ARGN})
  if(NOT ARG_SOURCES)
    file(GLOB ARG_SOURCES CONFIGURE_DEPENDS *.c)
  endif()
  list(TRANSFORM ARG_DEPENDS PREPEND ks_)
  if(NOT ARG_SOURCES)
    add_library(ks_${name} INTERFACE)
    target_link_libraries(ks_${name} INTERFACE ks_flags ${ARG_DEPENDS})
    return()
  endif()
  add_library(ks_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(ks_${name} PUBLIC ks_flags ${ARG_DEPENDS} PRIVATE ${ARG_LIBRARIES})
endfunction()
