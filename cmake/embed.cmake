# embed.cmake - a file as bytes in C: cmake -DFROM=page.html -DTO=page.c -DNAME=sg_page -P embed.cmake
file(READ ${FROM} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR bytes "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," list "${hex}")
file(WRITE ${TO} "#include \"serve/page.h\"\n\nconst unsigned char ${NAME}[] = {${list}0};\nconst size_t ${NAME}_bytes = ${bytes};\n")
