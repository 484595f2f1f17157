command -v bash >/dev/null || exit 77
sedge help --completion bash >c
bash -n c
bash -c '. ./c; COMP_WORDS=(sedge train ti); COMP_CWORD=2; COMP_WORDS[1]=train; _sedge; echo "${COMPREPLY[@]}"; COMP_WORDS=(sedge tokenize --method rq); COMP_CWORD=3; _sedge; echo "${COMPREPLY[@]}"'
