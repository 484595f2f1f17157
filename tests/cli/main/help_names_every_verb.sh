for verb in import synth stats embed tokenize train eval recommend report reproduce models inspect compare lm help; do
    sedge --help | grep -q "^  $verb " || echo "no $verb in the help"
    sedge $verb --help | grep -q "^Usage: sedge $verb" || echo "no help of $verb"
    sedge help --man | grep -q "^.SS sedge $verb" || echo "no $verb in the man page"
done
