# a recipe says how good its IDs have to be: with worse ones nothing is trained, with good ones the figures stand among the others
recipe() {
    cat >r.yaml <<Y
name: a
synth: {users: 60, items: 80, seed: 1}
embed: {dim: 8}
tokenize: {levels: 2, codes: 8}
train: {model: pop}
expected: {ids: {$1}}
Y
}
recipe "usage: {least: 0.8}, evenness@1: {least: 0.5}, perplexity@1: {least: 4, most: 8}, unique_share: {least: 0}, error: {most: 0.9}"
sedge reproduce r.yaml -o out -q --json >good.json && json expected/0/stage <good.json && json pass <good.json
sedge reproduce r.yaml -o out -q | grep -c "the IDs .* ok"
rm -r out
recipe "usage: {least: 0.1}, perplexity@2: {least: 8.5}"
sedge reproduce r.yaml -o out -q
echo $?
ls out
sedge reproduce r.yaml -o out -q # the stage is there already: the same answer
recipe "usage: {least: 0, most: 0.5}"
sedge reproduce r.yaml -o out -q
recipe "error@3: {most: 1}"
sedge reproduce r.yaml -o out -q
recipe "usage@x: {least: 0.1}"
sedge reproduce r.yaml -o out -q
printf "name: a\nsynth: {}\ntrain: {model: pop}\nexpected:\n  ids: {usage: {least: 0.5}}\n" >r.yaml
sedge reproduce r.yaml -o out -q
