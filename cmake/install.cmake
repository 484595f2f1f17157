# install.cmake - what a packager gets: the library, the header, the command, its man page and completion, pkg-config and CMake.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(SEDGE_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/sedge)

# The command finds the library beside it, wherever the prefix is moved.
if(TARGET sedge_cli)
  file(RELATIVE_PATH to_lib /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
  set_target_properties(sedge_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${to_lib}")
  install(TARGETS sedge_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

  add_custom_command(
    OUTPUT ${CMAKE_BINARY_DIR}/sedge.1 ${CMAKE_BINARY_DIR}/sedge.bash
    COMMAND sedge_cli help --man > ${CMAKE_BINARY_DIR}/sedge.1
    COMMAND sedge_cli help --completion bash > ${CMAKE_BINARY_DIR}/sedge.bash
    DEPENDS sedge_cli
    COMMENT "man page and completion from the option tables")
  add_custom_target(sedge_help ALL DEPENDS ${CMAKE_BINARY_DIR}/sedge.1 ${CMAKE_BINARY_DIR}/sedge.bash)
  install(FILES ${CMAKE_BINARY_DIR}/sedge.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${CMAKE_BINARY_DIR}/sedge.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME sedge)
endif()

install(TARGETS sedge EXPORT sedge LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES $<TARGET_FILE:sedge_static> DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/sedge/sedge.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sedge)
install(DIRECTORY recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/sedge)
install(FILES LICENSE NOTICE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(EXPORT sedge NAMESPACE sedge:: FILE sedgeTargets.cmake DESTINATION ${SEDGE_CMAKE_DIR})
configure_package_config_file(cmake/sedgeConfig.cmake.in ${CMAKE_BINARY_DIR}/sedgeConfig.cmake INSTALL_DESTINATION ${SEDGE_CMAKE_DIR})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/sedgeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/sedgeConfig.cmake ${CMAKE_BINARY_DIR}/sedgeConfigVersion.cmake DESTINATION ${SEDGE_CMAKE_DIR})

if(POSTGRES_FOUND)
  set(SEDGE_POSTGRES_MODULE " libpq")
endif()
if(STEMMER_LIBRARY AND STEMMER_INCLUDE)
  set(SEDGE_STEMMER_LIB " -lstemmer")
endif()

# The prefix of sedge.pc is where it is installed, also when that was chosen at install time.
install(CODE "
  file(RELATIVE_PATH up \"/${CMAKE_INSTALL_LIBDIR}/pkgconfig\" \"/\")
  file(WRITE \"${CMAKE_BINARY_DIR}/sedge.pc\"
\"prefix=\\\${pcfiledir}/\${up}
libdir=\\\${prefix}${CMAKE_INSTALL_LIBDIR}
includedir=\\\${prefix}${CMAKE_INSTALL_INCLUDEDIR}

Name: sedge
Description: generative recommenders from interaction logs and item content
Version: ${PROJECT_VERSION}
Requires.private: jansson yaml-0.1 zlib libzstd libutf8proc libpcre2-8 libmicrohttpd sqlite3 libcurl${SEDGE_POSTGRES_MODULE}
Libs: -L\\\${libdir} -lsedge
Libs.private: -ldnnl${SEDGE_STEMMER_LIB} -lpthread -lm
Cflags: -I\\\${includedir}
\")")
install(FILES ${CMAKE_BINARY_DIR}/sedge.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
